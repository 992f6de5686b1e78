"""Completes the list of parts of a package for NuGet (CycloneDX): what it is called, without what only builds it, and with
the parts of the native library.

    parts.py LIST NAME VERSION [LIST OF THE LIBRARY]
"""

import json
import sys

# They build, or look at the sources, and nothing of them is in the package.
TOOLS = ("Microsoft.CodeAnalysis.", "Microsoft.NET.ILLink", "Microsoft.SourceLink", "Microsoft.Build.")


def main(path, name, version, library=""):
    with open(path, encoding="utf-8") as file:
        parts = json.load(file)
    own = f"pkg:nuget/{name}@{version}"
    # NAME itself is among its parts, as far as the tool knows.
    known = [part for part in parts["components"] if part["name"] != name and not part["name"].startswith(TOOLS)]
    references = {part["bom-ref"] for part in known}
    subject = {"type": "library", "name": name, "version": version, "purl": own, "bom-ref": own}
    parts["metadata"]["component"] = subject
    needs = {
        entry["ref"]: [ref for ref in entry.get("dependsOn", []) if ref in references]
        for entry in parts.get("dependencies", [])
        if entry["ref"] in references
    }
    needed = {ref for refs in needs.values() for ref in refs}
    needs[own] = sorted(references - needed)
    if library:
        with open(library, encoding="utf-8") as file:
            native = json.load(file)
        subject_of_native = native["metadata"]["component"]
        subject_of_native.pop("components", None)
        known += [subject_of_native, *native["components"]]
        needs[own].append(subject_of_native["bom-ref"])
        needs.update({entry["ref"]: entry.get("dependsOn", []) for entry in native["dependencies"]})
    parts["components"] = known
    parts["dependencies"] = [{"ref": ref, "dependsOn": refs} for ref, refs in sorted(needs.items())]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(parts, file, indent=2)
        file.write("\n")


main(*sys.argv[1:])
