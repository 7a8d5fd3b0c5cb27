"""Answer the tour's question over REST: python docs/tour_by_script.py http://127.0.0.1:8000 [seconds]

Which pool is large enough for 105 visitors per second that take 20 ms each? Three runs, and the same figures of each.
"""

import sys

import httpx

WORK = {"kind": "sleep", "mean_ms": 20, "distribution": "fixed", "per": "connection"}
FIGURES = ("response_ms.p50", "response_ms.p99", "queue_ms.p99")


def body(workers: int, duration_s: float) -> dict[str, object]:
    """Return the body of the run for a pool of `workers` workers."""
    server = {"model": "executor_pool", "workers": workers, "work": WORK}
    visitors = {"kind": "open", "rate_per_s": 105, "duration_s": duration_s}
    return {"label": f"pool of {workers}", "server": server, "clients": [visitors]}


def main(url: str, duration_s: float = 12.0) -> None:
    """Run a pool of two, four and eight workers and print how long visitors waited for each."""
    with httpx.Client(base_url=url, timeout=90) as lab:
        for workers in (2, 4, 8):
            response = lab.post("/api/v1/runs", params={"wait_s": 80}, json=body(workers, duration_s))
            run = response.raise_for_status().json()
            report = lab.get(run["links"]["report"]).raise_for_status().json()
            spans = {**report["latency"], **report["waits"]}
            values = (spans[span][percentile] for span, percentile in (name.split(".") for name in FIGURES))
            median, p99, queue_p99 = ("too few samples" if ms is None else f"{ms:.1f} ms" for ms in values)
            print(f"{workers} workers: response time median {median}, p99 {p99}; queue wait p99 {queue_p99}; ", end="")
            print(f"the run is {report['verdict']['status']}. {lab.base_url.join(run['links']['page'])}")


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
