"""Backtest-first research simulator for LLM trading."""
