"""Asset Administration Shells for the tests, written by the BaSyx SDK: the three ways in which one comes."""

import io
from pathlib import Path
from typing import Any

from basyx.aas import model
from basyx.aas.adapter.aasx import AASXWriter, DictSupplementaryFileContainer
from basyx.aas.adapter.json import write_aas_json_file
from basyx.aas.adapter.xml import write_aas_xml_file

AID = "https://admin-shell.io/idta/AssetInterfacesDescription/1/0"
SIMULATION = "https://admin-shell.io/idta/SimulationModels/SimulationModels/1/0"


def text(name: str, value: str) -> model.Property:
    return model.Property(name, model.datatypes.String, value)


def folder(name: str | None, *elements: model.SubmodelElement, means: str | None = None) -> model.SubmodelElementCollection:
    return model.SubmodelElementCollection(name, list(elements), semantic_id=meaning(means) if means else None)


def meaning(iri: str) -> model.ExternalReference:
    return model.ExternalReference((model.Key(model.KeyTypes.GLOBAL_REFERENCE, iri),))


def value(
    name: str, form: dict[str, str], kind: str = "number", unit: str = "", span: tuple[float, float] | None = None, title: str = ""
) -> model.SubmodelElementCollection:
    elements: list[model.SubmodelElement] = [text("type", kind), folder("forms", *(text(key, said) for key, said in form.items()))]
    elements += [text(key, said) for key, said in (("unit", unit), ("title", title)) if said]
    if span is not None:
        elements.append(model.Range("min_max", model.datatypes.Double, model.datatypes.Double(span[0]), model.datatypes.Double(span[1])))
    return folder(name, *elements)


def interface(name: str, base: str, *values: model.SubmodelElement, **endpoint: str) -> model.SubmodelElementCollection:
    return folder(
        name,
        text("title", name),
        folder("EndpointMetadata", text("base", base), *(text(key, said) for key, said in endpoint.items())),
        folder("InteractionMetadata", folder("properties", *values)),
        means=f"{AID}/Interface",
    )


def described(*interfaces: model.SubmodelElement) -> model.Submodel:
    return model.Submodel("urn:vessel:aid", interfaces, id_short="AssetInterfacesDescription", semantic_id=meaning(f"{AID}/Submodel"))


def simulated(path: str) -> model.Submodel:
    file = model.File("DigitalFile", "application/octet-stream", path)
    version = folder("ModelFileVersion", text("ModelVersionId", "1.0"), file)
    elements = [folder("SimulationModel", text("Summary", "a heated vessel"), folder("ModelFile", version))]
    return model.Submodel("urn:vessel:simulation", elements, id_short="SimulationModels", semantic_id=meaning(SIMULATION))


def _store(submodels: tuple[model.Submodel, ...]) -> Any:
    shell = model.AssetAdministrationShell(
        model.AssetInformation(model.AssetKind.INSTANCE, "urn:vessel"),
        "urn:vessel:shell",
        id_short="Vessel",
        submodel={model.ModelReference.from_referable(one) for one in submodels},
    )
    store_type = getattr(model, "DictIdentifiableStore", None) or model.DictObjectStore
    return store_type([shell, *submodels])


def as_json(*submodels: model.Submodel) -> bytes:
    stream = io.BytesIO()
    write_aas_json_file(stream, _store(submodels))
    return stream.getvalue()


def as_xml(*submodels: model.Submodel) -> bytes:
    stream = io.BytesIO()
    write_aas_xml_file(stream, _store(submodels))
    return stream.getvalue()


def as_package(directory: Path, *submodels: model.Submodel, files: dict[str, bytes] | None = None, as_json: bool = False) -> bytes:
    held = DictSupplementaryFileContainer()
    for name, octets in (files or {}).items():
        held.add_file(name, io.BytesIO(octets), "application/octet-stream")
    file = directory / "made.aasx"
    with AASXWriter(str(file)) as writer:
        writer.write_aas("urn:vessel:shell", _store(submodels), held, write_json=as_json)
    return file.read_bytes()
