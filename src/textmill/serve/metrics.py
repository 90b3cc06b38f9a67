"""What is counted, as Prometheus reads it, by vLLM's names: dashboards that were made for it show this server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from textmill.serve.job import Job
from textmill.serve.models import Models

_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
_LABELS = ("model_name",)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4.encode()


class Metrics:
    """Counters and histograms of one server, in a registry of its own."""

    def __init__(self, prefix: str) -> None:
        disable_created_metrics()  # vLLM has none of these
        self._registry = CollectorRegistry()
        self._prefix = prefix
        self._success = self._counter("request_success", "Requests that ended well.", ("model_name", "finished_reason"))
        self._prompt_tokens = self._counter("prompt_tokens", "Tokens of prompts.")
        self._generation_tokens = self._counter("generation_tokens", "Tokens that were made.")
        self._http = self._counter("http_requests", "Requests by path and status.", ("method", "path", "status"))
        self._first = self._histogram("time_to_first_token_seconds", "From submission to the first token.", _SECONDS)
        self._gap = self._histogram("inter_token_latency_seconds", "Between two tokens of an answer.", _SECONDS)
        self._whole = self._histogram("e2e_request_latency_seconds", "From submission to the end.", _SECONDS)
        self._queue = self._histogram("request_queue_time_seconds", "From submission to the first step.", _SECONDS)
        self._prefill = self._histogram("request_prefill_time_seconds", "From there to the first token.", _SECONDS)
        self._decode = self._histogram("request_decode_time_seconds", "From there to the end.", _SECONDS)
        self._asked = self._histogram("request_prompt_tokens", "Tokens of a request's prompt.", _TOKENS)
        self._made = self._histogram("request_generation_tokens", "Tokens of a request's answers.", _TOKENS)

    def watch(self, models: Models) -> None:
        """Tell of the models' batchers, too, whenever somebody asks."""
        self._registry.register(_Batchers(models, self._prefix))

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def count_response(self, method: str, path: str, status: int) -> None:
        """Count a response; ``path`` is that of a route, or one word for all others."""
        self._http.labels(method, path, str(status)).inc()

    def count(self, model: str, job: Job) -> None:
        """Count a request that is over."""
        num_asked = sum(answer.num_prompt for answer in job.answers if answer.elder is None)
        num_made = sum(answer.num_drawn for answer in job.answers)
        self._generation_tokens.labels(model).inc(num_made)
        if job.started_at is not None:
            self._prompt_tokens.labels(model).inc(num_asked)
        if job.first_at is None or job.started_at is None:
            return
        self._queue.labels(model).observe(job.started_at - job.submitted_at)
        self._prefill.labels(model).observe(job.first_at - job.started_at)
        self._first.labels(model).observe(job.first_at - job.submitted_at)
        gaps = self._gap.labels(model)
        for gap_s in job.gaps_s:
            gaps.observe(gap_s)
        if job.ended_at is None or any(answer.finish_reason in (None, "abort") for answer in job.answers):
            return
        self._whole.labels(model).observe(job.ended_at - job.submitted_at)
        self._decode.labels(model).observe(job.ended_at - job.first_at)
        self._asked.labels(model).observe(num_asked)
        self._made.labels(model).observe(num_made)
        for answer in job.answers:
            self._success.labels(model, answer.finish_reason).inc()

    def _counter(self, name: str, what: str, labels: tuple[str, ...] = _LABELS) -> Counter:
        return Counter(self._prefix + name, what, labels, registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(self._prefix + name, what, _LABELS, buckets=buckets, registry=self._registry)


class _Batchers(Collector):
    """What batchers count by themselves, read when it is asked for: nothing is done for it in between."""

    def __init__(self, models: Models, prefix: str) -> None:
        self._models = models
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        """One sample a model and a metric."""
        gauges = {
            "num_requests_running": "Answers that are being made.",
            "num_requests_waiting": "Answers that wait.",
            "kv_cache_usage_perc": "The part of the KV cache's blocks that answers hold, 0 to 1.",
        }
        counters = {
            "prefix_cache_queries": "Prompt tokens that were looked for in the prefix cache.",
            "prefix_cache_hits": "Prompt tokens that were found there.",
            "num_preemptions": "Answers that had to give their blocks back.",
            "spec_decode_num_draft_tokens": "Tokens that were guessed ahead.",
            "spec_decode_num_accepted_tokens": "Guesses that were right.",
        }
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
            **{name: GaugeMetricFamily(self._prefix + name, what, labels=_LABELS) for name, what in gauges.items()},
            **{name: CounterMetricFamily(self._prefix + name, what, labels=_LABELS) for name, what in counters.items()},
        }
        steps = HistogramMetricFamily(self._prefix + "iteration_tokens_total", "Tokens of a step.", labels=_LABELS)
        for model in self._models.loaded:
            now = model.lm.batcher.statistics()
            values = {
                "num_requests_running": now.num_running,
                "num_requests_waiting": now.num_waiting,
                "kv_cache_usage_perc": now.num_blocks_in_use / now.num_blocks,
                "prefix_cache_queries": now.num_prompt_tokens,
                "prefix_cache_hits": now.num_cached_tokens,
                "num_preemptions": now.num_preempted,
                "spec_decode_num_draft_tokens": now.num_guessed_tokens,
                "spec_decode_num_accepted_tokens": now.num_accepted_tokens,
            }
            for name, value in values.items():
                families[name].add_metric([model.name], value)
            up_to = itertools.accumulate(now.steps_by_size)
            buckets = [(str(float(2**size)), float(count)) for size, count in enumerate(up_to)]
            steps.add_metric([model.name], [*buckets, ("+Inf", float(now.num_steps))], now.num_step_tokens)
        yield from families.values()
        yield steps
