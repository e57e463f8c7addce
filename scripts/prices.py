#!/usr/bin/env python3
"""Makes prices/nodes.csv, the price file that the program carries, from clones of public repositories.

    scripts/prices.py --aws CLONE --azure CLONE --gcp CLONE --gcp-shapes CLONE [--skypilot CLONE] [-o prices/nodes.csv]

    --aws         github.com/aws/karpenter-provider-aws                       on-demand, us-east-1 and GovCloud; shapes
    --azure       github.com/Azure/karpenter-provider-azure                   on-demand
    --gcp         github.com/cloudpilot-ai/karpenter-provider-gcp             on-demand and spot
    --gcp-shapes  github.com/Cyclenerd/google-cloud-pricing-cost-calculator   CPU, memory and GPUs of Google's machines
    --skypilot    github.com/skypilot-org/skypilot-catalog                    AWS: every region, and spot (its lowest zone)

All five are Apache-2.0. Each commits what it read from its cloud's own price API; the date in the file is theirs. A clone may be bare.
docs/cost.md tells what is in the file and what is not.
"""
import argparse
import csv
import io
import json
import re
import subprocess
import sys

# A judgement: accelerators of all sorts, and the CPU machines that node pools are made of. Everything else is "no price".
AWS = re.compile(r"(g[4-9]\w*|gr6\w*|p[3-9]\w*(-\w+)?|trn\d\w*|inf\d|dl1|[mcr][5-9](a|i|g|d|ad|id|gd)?|t3a?|t4g)\.(?!metal)")
AZURE = re.compile(r"Standard_(N[CDV]\d+\w*(?<!_Promo)|[DE]\d+a?d?s_v[56]|F\d+s_v2)$")
GCP = re.compile(r"(a\d\w*|g[2-9])-|(e2|n1|n2|n2d|n4|c3|c4|t2d)-(standard|highmem)-\d+$")
AZURE_REGIONS = (
    "australiaeast brazilsouth canadacentral centralindia centralus eastasia eastus eastus2 francecentral germanywestcentral "
    "italynorth japaneast koreacentral northcentralus northeurope norwayeast polandcentral southafricanorth southcentralus "
    "southeastasia swedencentral switzerlandnorth uaenorth uksouth westeurope westus westus2 westus3"
).split()
GCP_REGIONS = (
    "asia-east1 asia-northeast1 asia-northeast3 asia-south1 asia-southeast1 australia-southeast1 europe-north1 europe-west1 "
    "europe-west2 europe-west3 europe-west4 europe-west6 europe-west9 me-west1 northamerica-northeast1 southamerica-east1 "
    "us-central1 us-east1 us-east4 us-east5 us-south1 us-west1 us-west2 us-west3 us-west4"
).split()


def git(clone, *words):
    return subprocess.run(["git", "-C", clone, *words], capture_output=True, text=True, check=True).stdout


def show(clone, path):
    return git(clone, "show", f"HEAD:{path}")


def revision(clone):
    return git(clone, "rev-parse", "--short=12", "HEAD").strip()


def number(price):
    """Dollars an hour, to a thousandth of a cent: the shortest spelling."""
    return f"{price:.5f}".rstrip("0").rstrip(".")


def portable(maker, name, gib):
    """A GPU as a blueprint spells it."""
    sized = {"a100": f"a100-{gib}gb", "h100": "h100-80gb"}
    return f"{maker}-{sized.get(name, name)}"


def go_prices(text):
    """`"region": { "machine": 1.5, … }` of a generated Go file, whichever way it is laid out."""
    prices, region = {}, None
    for line in text.splitlines():
        if found := re.match(r'\s*(?:\w+\[)?"([\w-]+)"(?:\])?\s*[:=]\s*(?:map\S*)?\{', line):
            region = prices.setdefault(found[1], {})
        elif region is not None:
            for machine, price in re.findall(r'"([\w.-]+)":\s*([\d.]+),', line):
                region[machine] = float(price)
    return prices


def aws(options):
    prices, date = {}, None
    for name in ["aws", "aws_us_gov"]:
        text = show(options.aws, f"pkg/providers/pricing/zz_generated.pricing_{name}.go")
        date = date or re.search(r"generated at (\d{4}-\d\d-\d\d)", text)[1]
        prices |= go_prices(text)
    shapes, shape = {}, {}
    for line in show(options.aws, "website/content/en/docs/reference/instance-types.md").splitlines():
        if found := re.match(r"### `(.+)`", line):
            shape = shapes.setdefault(found[1], {})
        elif found := re.match(r" \|karpenter\.k8s\.aws/instance-([\w-]+)\|(.+)\|", line):
            shape[found[1]] = found[2]
    rows = {}
    for region, machines in prices.items():
        for machine, price in machines.items():
            if AWS.match(machine):
                rows.setdefault(machine, {})[region] = [price, None]
    source = f"aws/karpenter-provider-aws@{revision(options.aws)}"
    if options.skypilot:
        listed = git(options.skypilot, "ls-tree", "-r", "--name-only", "HEAD", "catalogs/").split()
        folder = max((at.removesuffix("/aws/vms.csv") for at in listed if re.match(r"catalogs/v\d+/aws/vms\.csv$", at)), key=lambda at: int(at[10:]))
        for row in csv.DictReader(io.StringIO(show(options.skypilot, f"{folder}/aws/vms.csv"))):
            if row["Price"] and AWS.match(row["InstanceType"]):
                cell = rows.setdefault(row["InstanceType"], {}).setdefault(row["Region"], [float(row["Price"]), None])
                spot = float(row["SpotPrice"]) if row["SpotPrice"] else None
                cell[1] = min((price for price in [cell[1], spot] if price), default=None)
        date = git(options.skypilot, "log", "-1", "--format=%cs").strip()
        source += f", skypilot-org/skypilot-catalog@{revision(options.skypilot)}"

    def described(machine):
        shape = shapes.get(machine, {})
        gpu = ""
        for sort in ["gpu", "accelerator"]:
            if f"{sort}-name" in shape:
                gib = round(int(shape.get(f"{sort}-memory", 0)) / 1024)
                gpu = portable(shape[f"{sort}-manufacturer"], shape[f"{sort}-name"], gib)
        memory = shape.get("memory")
        count = shape.get("gpu-count") or shape.get("accelerator-count") or ""
        return [shape.get("cpu", ""), number(int(memory) / 1024) if memory else "", gpu, count]

    return "aws", date, source, rows, described


def azure(options):
    text = show(options.azure, "pkg/providers/pricing/zz_generated.pricing.go")
    rows = {}
    for region, machines in go_prices(text).items():
        for machine, price in machines.items():
            if region in AZURE_REGIONS and AZURE.match(machine):
                rows.setdefault(machine, {})[region] = [price, None]
    date = re.search(r"generated at (\d{4}-\d\d-\d\d)", text)[1]
    return "azure", date, f"Azure/karpenter-provider-azure@{revision(options.azure)}", rows, lambda machine: ["", "", "", ""]


def gcp(options):
    path = "pkg/providers/pricing/initial-prices.json"
    rows = {}
    for region, prices in json.loads(show(options.gcp, path))["prices"].items():
        for machine, price in prices["on_demand"].items():
            if region in GCP_REGIONS and GCP.match(machine):
                rows.setdefault(machine, {})[region] = [price, prices["spot"].get(machine)]
    names = {"l4": "nvidia-l4", "a100": "nvidia-a100-40gb", "a100-80gb": "nvidia-a100-80gb", "h100-80gb": "nvidia-h100-80gb",
             "h100-80gb-mega": "nvidia-h100-80gb", "h200": "nvidia-h200", "rtx6000": "nvidia-rtx-pro-server-6000"}
    shapes, machine = {}, None
    for line in show(options.gcp_shapes, "build/gcp.yml").splitlines():
        if found := re.match(r"    ([a-z]\d[\w-]+):$", line):
            machine = shapes.setdefault(found[1], ["", "", "", ""])
        elif found := re.match(r"      ([\w-]+): ([\d.]+)$", line):
            if machine is None or found[1] not in {"cpu", "ram", *names}:
                continue
            at = {"cpu": 0, "ram": 1}.get(found[1])
            machine[slice(2, 4) if at is None else slice(at, at + 1)] = [names[found[1]], found[2]] if at is None else [found[2]]
        elif re.match(r"  \S|\S", line):
            machine = None
    date = git(options.gcp, "log", "-1", "--format=%cs", "--", path).strip()
    source = f"cloudpilot-ai/karpenter-provider-gcp@{revision(options.gcp)}, Cyclenerd/google-cloud-pricing-cost-calculator@{revision(options.gcp_shapes)}"
    return "gcp", date, source, rows, lambda machine: shapes.get(machine, ["", "", "", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["aws", "azure", "gcp", "gcp-shapes"]:
        parser.add_argument(f"--{name}", required=True, metavar="CLONE")
    parser.add_argument("--skypilot", metavar="CLONE")
    parser.add_argument("-o", "--output", default="prices/nodes.csv")
    options = parser.parse_args()
    out = io.StringIO()
    out.write("# What a node costs: US dollars an hour, on demand/spot. Made by scripts/prices.py; docs/cost.md tells more.\n")
    for cloud, date, source, rows, described in [aws(options), azure(options), gcp(options)]:
        regions = sorted({region for cells in rows.values() for region in cells})
        out.write(f"cloud,{cloud},{date},{source.replace(',', ';')}\n")
        out.write(",".join(["machine", "cpus", "GiB", "gpu", "gpus", *regions]) + "\n")
        for machine in sorted(rows):
            cells = []
            for region in regions:
                price, spot = rows[machine].get(region, [None, None])
                cells.append("" if price is None else number(price) + (f"/{number(spot)}" if spot else ""))
            out.write(",".join([machine, *described(machine), *cells]).rstrip(",") + "\n")
        print(f"{cloud}: {len(rows)} machines, {len(regions)} regions, of {date}", file=sys.stderr)
    # What the clouds ask for a cluster itself, of their own words: AWS containers blog "Amazon EKS extended support for Kubernetes
    # versions pricing" (0.10; 0.60 in extended support), cloud.google.com/kubernetes-engine/pricing. That of AKS depends on its tier.
    for cloud, date, source in [
        ("aws", "2024-04-01", "AWS containers blog on EKS prices; standard support"),
        ("gcp", "2020-06-06", "cloud.google.com/kubernetes-engine/pricing"),
    ]:
        out.write(f"cloud,{cloud},{date},{source}\nmachine,cpus,GiB,gpu,gpus,*\n(cluster),,,,,0.1\n")
    with open(options.output, "w", encoding="utf-8") as file:
        file.write(out.getvalue())


if __name__ == "__main__":
    main()
