"""What the simulated company says of itself: a configuration for `manage.py configure` and a README of the folder."""

import json
from collections.abc import Mapping
from typing import Any

from attribution.simulator.company import Company


def config(company: Company) -> str:
    """Teams, projects and who belongs where. Optional: the default ownership rules already find teams and projects."""
    units = [{"slug": slug, "name": name, "kind": "business_unit"} for slug, name in company.units]
    teams = [{"slug": slug, "name": name, "kind": "team", "parent": unit} for slug, name, unit in company.teams]
    projects = [
        {"slug": project.slug, "name": project.slug.replace("-", " ").capitalize(), "team": project.team}
        for project in company.projects
    ]
    shape = {"teams": [*units, *teams], "projects": projects}
    return json.dumps(shape, indent=2) + "\n"


def readme(manifest: Mapping[str, Any]) -> str:
    lost, restated = manifest["lost_telemetry"], manifest["restated"]
    lost_line = (
        f"- {lost['day']}: telemetry of {lost['offer']} lost, {lost['from_hour']}:00 to {lost['to_hour']}:00 UTC.\n"
        if lost
        else ""
    )
    return f"""# A simulated company

Seed {manifest["seed"]}, size {manifest["size"]}, days {manifest["start"]} to {manifest["until"]} (end exclusive),
bills up to {manifest["billed_until"]}.
The same seed, size and days always give the same bytes.

    manage.py configure config.json          # optional: names and places of teams and projects
    manage.py ingest billing bills
    manage.py ingest telemetry telemetry
    manage.py attribute
    manage.py reconcile
    manage.py compare_truth truth

- `bills/aws`: CUR 2.0 as Data Exports delivers it, an execution folder a delivery; the manifest names the current one.
- `bills/azure`: actual and amortised cost exports, a folder a run; the newest `submittedTime` is current.
- `bills/gcp`: the detailed export, a file an invoice month (Pacific months).
- {restated["billing_period"]} was delivered twice by AWS and Azure: the first delivery lacked a quarter of
  {restated["day"]}'s tokens. One ingest of `bills` ends at the second.
{lost_line}- `telemetry`: one NDJSON file a day; some records come twice; busy projects count a quarter of an hour of
  requests in a line (`requests`), embeddings come as hourly buckets.
- `truth/costs.csv`: dollars by provider, billing period, owner, model and token type; `reason` where nobody owns them.
- `truth/tokens.csv`: tokens used and tokens metered. `truth/manifest.json`: totals and what was done to the data.
"""
