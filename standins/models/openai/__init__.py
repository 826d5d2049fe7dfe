"""Models of OpenAI's and of Azure's: https://platform.openai.com/docs/api-reference and
https://learn.microsoft.com/azure/foundry/openai/latest
"""
