# A chat page by Streamlit: the script runs anew for every message, and the conversation lives in the session.
# The page speaks protobuf with the server, over one WebSocket.
import streamlit as st
from llama_index.core import Settings
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")

st.title("Ask the docs")
history = st.session_state.setdefault("history", [])
for message in history:
    st.chat_message(message.role.value).write(message.content)
if question := st.chat_input("Your question"):
    st.chat_message("user").write(question)
    history.append(ChatMessage(role="user", content=question))
    with st.chat_message("assistant"):
        answer = st.write_stream(part.delta or "" for part in Settings.llm.stream_chat(history))
    history.append(ChatMessage(role="assistant", content=str(answer)))
