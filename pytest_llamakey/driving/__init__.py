"""Makes every worker call the model, each exactly once, and says whose each call was."""
