"""Fake service: the chat-completions protocol on this machine, free of charge, with latency and faults on purpose.

    python -m simulator.llm.fake_service --port 8900 --latency 0.2 --faults 0.2 --seed 1
    python -m simulator.llm.fake_service --fault empty-content,html        `--fault list` lists them all
    curl http://127.0.0.1:8900/stats

Point seats at it (``provider: openai_compatible, endpoint: http://127.0.0.1:8900/v1``) to see how a run behaves with
slow and faulty services before one that costs money is asked. Answers delivered are counted.
"""
