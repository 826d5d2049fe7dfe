"""A local Functions host: reads the app's own triggers and `host.json`, and calls its functions as the real
host does.

`python -m standins.functions_host APP_DIR --port P [--settings FILE] [--invocations FILE.jsonl] [--keys
FILE]`
"""
