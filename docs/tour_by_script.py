"""The tour's question over REST, without a browser: python docs/tour_by_script.py http://127.0.0.1:8000 [seconds]

Which pool is large enough for 105 visitors a second of 20 ms each? Three runs, and the same figures beside each other.
"""

import sys

import httpx

WORK = {"kind": "sleep", "mean_ms": 20, "distribution": "fixed", "per": "connection"}
FIGURES = ("response_ms.p50", "response_ms.p99", "queue_ms.p99")


def body(workers: int, duration_s: float) -> dict[str, object]:
    """What is asked of the lab for a pool of so many workers."""
    server = {"model": "executor_pool", "workers": workers, "work": WORK}
    visitors = {"kind": "open", "rate_per_s": 105, "duration_s": duration_s}
    return {"label": f"pool of {workers}", "server": server, "clients": [visitors]}


def main(url: str, duration_s: float = 12.0) -> None:
    """Run a pool of two, of four and of eight; print what each of them let its visitors wait."""
    with httpx.Client(base_url=url, timeout=90) as lab:
        for workers in (2, 4, 8):
            asked = lab.post("/api/v1/runs", params={"wait_s": 80}, json=body(workers, duration_s))
            run = asked.raise_for_status().json()
            report = lab.get(run["links"]["report"]).raise_for_status().json()
            spans = {**report["latency"], **report["waits"]}
            told = (spans[span][percentile] for span, percentile in (name.split(".") for name in FIGURES))
            words = ["few" if ms is None else f"{ms:.1f} ms" for ms in told]
            print(f"{workers} workers: median {words[0]}, p99 {words[1]}, p99 in the queue {words[2]}; ", end="")
            print(f"the run is {report['verdict']['status']}. {lab.base_url.join(run['links']['page'])}")


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
