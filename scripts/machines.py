#!/usr/bin/env python3
"""Makes providers/eks/src/catalog/machines.csv, the machines of EC2 that the program knows, from public sources.

    scripts/machines.py --moto WHEEL --karpenter CLONE [-o providers/eks/src/catalog/machines.csv]

    --moto        a wheel of moto (PyPI): what EC2 answered to DescribeInstanceTypes in every region, taken on the wheel's day
    --karpenter   github.com/aws/karpenter-provider-aws: on-demand prices of us-east-1, for the order of machines; may be bare

Both are Apache-2.0. Left out: Macs, and families from before 2017, which nobody makes a node pool of.
"""
import argparse
import gzip
import json
import re
import subprocess
import sys
import zipfile

HEADING = ["machine", "vcpus", "MiB", "arch", "gpu", "gpus", "gpuMiB", "neuron", "efa", "pods", "sold", "usd"]
OLD = re.compile(r"(a1|[cmr][1-4]|t1|d2|h1|i2|x1e?)\.")
CLASSES = {"on-demand": "o", "spot": "s", "capacity-block": "b"}


def git(clone, *words):
    return subprocess.run(["git", "-C", clone, *words], capture_output=True, text=True, check=True).stdout


def portable(gpu):
    """A GPU as a blueprint spells it; scripts/prices.py has the same words."""
    name = gpu["Name"].lower().replace(" ", "-")
    sized = {"a100": f"a100-{round(gpu['MemoryInfo']['SizeInMiB'] / 1024)}gb", "h100": "h100-80gb"}
    return f"{gpu['Manufacturer'].lower()}-{sized.get(name, name)}"


def prices(clone):
    text = git(clone, "show", "HEAD:pkg/providers/pricing/zz_generated.pricing_aws.go")
    region = re.search(r'"us-east-1":\s*\{(.*?)\n\t\}', text, re.S)[1]
    return {machine: price for machine, price in re.findall(r'"([\w.-]+)":\s*([\d.]+),', region)}


def row(machine, told, price):
    network, gpus = told["NetworkInfo"], told.get("GpuInfo", {}).get("Gpus", [])
    neuron = told.get("NeuronInfo", {}).get("NeuronDevices", [])
    # Addresses are those of the default network card alone: awslabs/amazon-eks-ami, nodeadm/internal/kubelet/eni_max_pods.go.
    card = network["NetworkCards"][network.get("DefaultNetworkCardIndex", 0)]
    pods = card["MaximumNetworkInterfaces"] * (network["Ipv4AddressesPerInterface"] - 1) + 2
    return [
        machine,
        told["VCpuInfo"]["DefaultVCpus"],
        told["MemoryInfo"]["SizeInMiB"],
        "arm64" if "arm64" in told["ProcessorInfo"]["SupportedArchitectures"] else "amd64",
        portable(gpus[0]) if gpus else "",
        sum(gpu["Count"] for gpu in gpus) if gpus else "",
        gpus[0]["MemoryInfo"]["SizeInMiB"] if gpus else "",
        sum(device["Count"] for device in neuron) or "",
        network.get("EfaInfo", {}).get("MaximumEfaInterfaces", ""),
        pods,
        "".join(CLASSES[name] for name in CLASSES if name in told["SupportedUsageClasses"]),
        f"{float(price):.4f}".rstrip("0").rstrip(".") if price else "",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moto", required=True, metavar="WHEEL")
    parser.add_argument("--karpenter", required=True, metavar="CLONE")
    parser.add_argument("-o", "--output", default="providers/eks/src/catalog/machines.csv")
    options = parser.parse_args()
    with zipfile.ZipFile(options.moto) as wheel:
        path = "moto/ec2/resources/instance_types.json.gz"
        machines = json.loads(gzip.decompress(wheel.read(path)))
        date = "%04d-%02d-%02d" % wheel.getinfo(path).date_time[:3]
    version = re.search(r"moto-([\d.]+)-", options.moto)[1]
    priced = prices(options.karpenter)
    revision = git(options.karpenter, "rev-parse", "--short=12", "HEAD").strip()
    rows = []
    for machine, told in machines.items():
        kinds = set(told["ProcessorInfo"]["SupportedArchitectures"])
        if not OLD.match(machine) and {"x86_64", "arm64"} & kinds:
            rows.append(row(machine, told, priced.get(machine)))
    rows.sort()
    with open(options.output, "w", encoding="utf-8") as file:
        file.write(f"# Machines of EC2. {date}; moto {version} (EC2's answers to DescribeInstanceTypes); prices of us-east-1, for order alone: "
                   f"aws/karpenter-provider-aws@{revision}. Made by scripts/machines.py.\n")
        file.write("".join(",".join(map(str, cells)).rstrip(",") + "\n" for cells in [HEADING, *rows]))
    print(f"{len(rows)} machines of {date}", file=sys.stderr)


if __name__ == "__main__":
    main()
