"""Evidence: capture excerpts as they were kept, and their dissection as text where there is one."""

from fastapi import APIRouter, Response

from sentinel.access import Permission
from sentinel.api.shape import Cursor, Key, Limit, PageOf, State, found, needs
from sentinel.model.record import Excerpt

router = APIRouter(tags=["evidence"])


@router.get("/evidence")
@needs(Permission.EVIDENCE_READ)
def list_excerpts(state: State, limit: Limit = 100, cursor: Cursor = None) -> PageOf[Excerpt]:
    return PageOf.of(state.records.page(Excerpt, limit=limit, cursor=cursor))


@router.get("/evidence/{digest}", response_class=Response, responses={200: {"content": {"application/vnd.tcpdump.pcap": {}}}})
@needs(Permission.EVIDENCE_READ)
def one_capture(state: State, digest: Key) -> Response:
    """A pcap file; its SHA-256 is the digest in the path."""
    octets = found(state.records.evidence(digest), f"evidence {digest}: it was never kept, or it was dropped")
    return Response(octets, media_type="application/vnd.tcpdump.pcap", headers=_download(f"{digest}.pcap"))


@router.get("/evidence/{digest}/text", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
@needs(Permission.EVIDENCE_READ)
def one_dissection(state: State, digest: Key) -> Response:
    texts = state.records.page(Excerpt, limit=1, where={"of": digest, "kind": "text"}).items
    text = found(texts[0] if texts else None, f"dissection of {digest}")
    octets = found(state.records.evidence(text.digest), f"dissection of {digest}: it was dropped")
    return Response(octets, media_type="text/plain; charset=utf-8")


def _download(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
