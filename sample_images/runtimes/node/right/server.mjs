// A web service in Node: a primary process, and workers that answer questions with a model.
import cluster from "node:cluster";
import { createServer } from "node:http";
import OpenAI from "openai";

const WORKERS = 3;

if (cluster.isPrimary) {
  // Before a worker listens, the model must answer with the key that is here: what is thrown ends the service.
  await new OpenAI().chat.completions.create({
    model: "gpt-4o-mini",
    max_tokens: 1,
    messages: [{ role: "user", content: "ping" }],
  });
  for (let i = 0; i < WORKERS; i++) cluster.fork();
  cluster.on("exit", () => cluster.fork());
} else {
  const openai = new OpenAI(); // reads OPENAI_API_KEY and OPENAI_BASE_URL

  createServer(async (request, response) => {
    if (request.url === "/health") return response.end("ok");
    let body = "";
    for await (const piece of request) body += piece;
    try {
      const completion = await openai.chat.completions.create({
        model: "gpt-4o-mini",
        messages: [{ role: "user", content: JSON.parse(body).q }],
      });
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify({ answer: completion.choices[0].message.content }));
    } catch (error) {
      console.error(`asking the model failed: ${error.status ?? ""} ${error.name}`);
      response.statusCode = 502;
      response.end("the model gave no answer");
    }
  }).listen(3000);
}
