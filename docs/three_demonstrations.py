"""Run the article's three demonstrations over REST: python docs/three_demonstrations.py http://127.0.0.1:8000"""

import sys

import httpx

SERVERS: list[dict[str, str | int]] = [
    {"model": "sequential"},
    {"model": "thread_per_client"},
    {"model": "bounded_pool", "workers": 2},
]
CLIENTS = [{"kind": "script", "count": 3, "script": "article"}]

with httpx.Client(base_url=sys.argv[1], timeout=90) as lab:
    for server in SERVERS:
        body = {"server": server, "clients": CLIENTS, "label": server["model"]}
        run = lab.post("/api/v1/runs", params={"wait_s": 60}, json=body).raise_for_status().json()
        report = lab.get(run["links"]["report"]).raise_for_status().json()
        totals = report["totals"]
        print(f"{server['model']}: {report['verdict']['status']}, {totals['duration_s']:.1f} s, ", end="")
        print(f"at most {totals['peak_in_service']} in service. {report['run']['sentence']}")
