"""Evidence: capture excerpts and cases as they were kept, and what a person reads beside an excerpt."""

from fastapi import APIRouter, Response

from sentinel.access import Permission
from sentinel.api.shape import Cursor, Key, Limit, PageOf, State, found, needs
from sentinel.model.record import Excerpt

router = APIRouter(tags=["evidence"])

PCAPNG = "application/x-pcapng"
_TYPES = {
    "pcapng": (PCAPNG, "pcapng"),
    "pcap": ("application/vnd.tcpdump.pcap", "pcap"),
    "text": ("text/plain; charset=utf-8", "txt"),
    "case": ("application/octet-stream", "case"),
}


@router.get("/evidence")
@needs(Permission.EVIDENCE_READ)
def list_excerpts(state: State, limit: Limit = 100, cursor: Cursor = None) -> PageOf[Excerpt]:
    return PageOf.of(state.records.page(Excerpt, limit=limit, cursor=cursor))


@router.get("/evidence/{digest}", response_class=Response, responses={200: {"content": {PCAPNG: {}}}})
@needs(Permission.EVIDENCE_READ)
def one_capture(state: State, digest: Key) -> Response:
    """A capture file (or what else was kept under this digest); its SHA-256 is the digest in the path."""
    return capture_of(state, digest)


@router.get("/evidence/{digest}/text", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
@needs(Permission.EVIDENCE_READ)
def one_dissection(state: State, digest: Key) -> Response:
    """The excerpt's packets, layer by layer, as a foreign dissector reads them: for people, never for judging."""
    return tree_of(state, digest)


def capture_of(state: State, digest: str) -> Response:
    octets = found(state.records.evidence(digest), f"evidence {digest}: it was never kept, or it was dropped")
    kept = state.records.find(Excerpt, digest)
    media, suffix = _TYPES.get(kept.kind if kept else "", ("application/octet-stream", "bin"))
    headers = {"content-disposition": f'attachment; filename="{digest}.{suffix}"', "x-content-sha256": digest}
    return Response(octets, media_type=media, headers=headers)


def tree_of(state: State, digest: str) -> Response:
    """Made when it is first asked for, then kept like the excerpt."""
    texts = state.records.page(Excerpt, limit=1, where={"of": digest, "kind": "text"}).items
    octets = state.records.evidence(texts[0].digest) if texts else None
    if octets is None:
        kept = state.records.find(Excerpt, digest)
        excerpt = found(kept if kept and kept.kind in ("pcap", "pcapng") else None, f"excerpt {digest}")
        found(state.records.evidence(excerpt.digest), f"evidence {digest}: it was dropped")
        octets = found(state.dissect, "dissector here")(state.records.evidence_file(excerpt.digest))
        state.records.keep_excerpt(octets, "text", of=excerpt.digest)
    return Response(octets, media_type="text/plain; charset=utf-8")
