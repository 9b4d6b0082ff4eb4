"""The light client: what it learns from honest nodes, and what no node can make it believe."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candela.chain.checkpoint import MAX_AGE_SECONDS, Checkpoint
from candela.chain.light import MAX_DRIFT_MS, STAKING, LightClient, set_root_slot
from candela.errors import CertificateError, CheckpointError, Error, NetworkError, ProofError
from tests.chain.certified import CHAIN_ID, Chain, Server, certify, committee, encode, proposal, secret

FOUR = [1, 2, 3, 4]
Lie = Callable[[str, Any, Any], Any]


def checkpoint(chain: Chain, number: int = 0, epoch: int = 0) -> Checkpoint:
    block_hash = "0x" + chain.blocks[number].hash.hex()
    return Checkpoint(chain_id=CHAIN_ID, block_hash=block_hash, committee=chain.committees[epoch])


def now(chain: Chain, seconds: float = 1) -> Callable[[], int]:
    return lambda: chain.start_ms + len(chain.blocks) * 1000 + int(seconds * 1000)


def follow(chain: Chain, server: Server | None = None, start: Checkpoint | None = None) -> LightClient:
    return LightClient(server or Server(chain), start or checkpoint(chain), now(chain), patience_seconds=0.1)


def four_epochs() -> Chain:
    """Elections change one validator, then none, then all."""
    chain = Chain(FOUR)
    for seeds in ([2, 3, 4, 5], [2, 3, 4, 5], [6, 7, 8, 9, 10, 11, 12]):
        chain.extend(5)
        chain.elect(seeds, stake=10**21)
        chain.extend(3)
        chain.enter()
    chain.extend(5)
    return chain


def changed(field: str, value: Callable[[Any], Any], method: str = "candela_getHeader", block: str = "latest") -> Lie:
    def lie(asked: str, params: Any, answer: Any) -> Any:
        return answer | {field: value(answer[field])} if asked == method and block in params else answer

    return lie


def test_one_validator_is_followed() -> None:
    chain = Chain([1])
    client = follow(chain)
    chain.extend(3)
    assert client.advance().number == 3
    chain.extend(300)
    assert client.advance().number == 303
    assert client.head.hash == "0x" + chain.blocks[303].hash.hex()


def test_nothing_new_changes_nothing() -> None:
    chain = Chain(FOUR)
    chain.extend(2)
    client = follow(chain)
    assert client.advance() == client.advance()


def test_elections_are_followed_to_a_committee_without_a_common_member() -> None:
    chain = four_epochs()
    client = follow(chain)
    assert client.advance().number == len(chain.blocks) - 1
    assert client.committee == chain.committees[3]
    assert not set(client.committee.keys) & set(chain.committees[0].keys)


def test_elections_are_followed_block_by_block() -> None:
    whole = four_epochs()
    seen = Chain(FOUR)
    client = follow(seen)
    for block in whole.blocks[1:]:
        seen.blocks.append(block)
        seen.committees = whole.committees
        assert client.advance().number == block.number
    assert client.committee.epoch == 3


def test_account_and_slot_are_proved_at_the_head() -> None:
    chain = four_epochs()
    client = follow(chain)
    client.advance()
    address, slot = "0x" + "05" * 20, set_root_slot(3)
    account = client.prove(address).account
    assert account is not None
    assert (account.nonce, account.balance) == (client.head.number, 10**18)
    assert client.prove(STAKING, [slot, 1]).slots == {slot: int.from_bytes(chain.committees[3].root, "big"), 1: 0}


def test_client_goes_on_from_its_own_checkpoint() -> None:
    chain = four_epochs()
    client = follow(chain)
    client.advance()
    chain.extend(4)
    again = follow(chain, start=client.checkpoint)
    assert again.advance().number == client.advance().number


def test_checkpoint_may_be_the_last_block_of_the_epoch_before() -> None:
    chain = four_epochs()
    last = max(block.number for block in chain.blocks[1:] if block.certificate[0] == 0)
    client = follow(chain, start=checkpoint(chain, last, epoch=1))
    assert client.advance().number == len(chain.blocks) - 1
    with pytest.raises(CheckpointError, match="finalised in epoch 0"):
        follow(chain, start=checkpoint(chain, last, epoch=2))


def test_certificate_of_a_descendant_makes_its_ancestors_final() -> None:
    chain = Chain(FOUR)
    chain.extend(6)
    for block in chain.blocks[3:6]:
        block.certificate = chain.blocks[6].certificate
    start = checkpoint(chain, 3)
    assert follow(chain, start=start).head.number == 3
    chain.blocks[4].certificate = chain.certificate(chain.blocks[2])
    with pytest.raises(NetworkError, match="does not have block 0x7"):
        follow(chain, start=checkpoint(chain, 4))


def test_certificate_covers_no_block_of_another_branch() -> None:
    chain, branch = Chain(FOUR), Chain(FOUR)
    chain.extend(4)
    branch.extend(1, timestamp_ms=chain.start_ms + 1500)
    branch.blocks += chain.blocks[2:]
    branch.blocks[1].certificate = chain.blocks[3].certificate
    with pytest.raises(CertificateError, match="no descendant"):
        follow(branch, start=checkpoint(branch, 1))


def test_descendant_that_is_not_stored_yet_is_awaited() -> None:
    chain = Chain(FOUR)
    chain.extend(3)
    chain.blocks[2].certificate = chain.blocks[3].certificate
    last = chain.blocks.pop()
    missing = []

    def late(method: str, params: Any, answer: Any) -> Any:
        if answer is None and not missing:
            missing.append(params)
            chain.blocks.append(last)
        return answer

    client = follow(chain, Server(chain, late), start=checkpoint(chain, 1))
    assert client.advance().number == 2
    assert missing


def test_old_checkpoint_is_refused() -> None:
    chain = Chain(FOUR)
    LightClient(Server(chain), checkpoint(chain), lambda: chain.start_ms + MAX_AGE_SECONDS * 1000)
    with pytest.raises(CheckpointError, match="252 hours old"):
        LightClient(Server(chain), checkpoint(chain), lambda: chain.start_ms + (MAX_AGE_SECONDS + 1) * 1000)


def test_client_that_slept_too_long_does_not_go_on() -> None:
    chain, clock = Chain(FOUR), [0]
    client = LightClient(Server(chain), checkpoint(chain), lambda: chain.start_ms + clock[0])
    chain.extend(1)
    clock[0] = (MAX_AGE_SECONDS + 1) * 1000
    with pytest.raises(CheckpointError, match="hours old"):
        client.advance()
    assert client.head.number == 0


def test_block_from_the_future_is_refused() -> None:
    chain = Chain(FOUR)
    client = LightClient(Server(chain), checkpoint(chain), lambda: chain.start_ms)
    chain.extend(1, timestamp_ms=chain.start_ms + MAX_DRIFT_MS)
    client.advance()
    chain.extend(1, timestamp_ms=chain.start_ms + MAX_DRIFT_MS + 1)
    with pytest.raises(CertificateError, match="from the future"):
        client.advance()


def test_node_without_the_checkpoint_s_block_is_refused() -> None:
    chain = Chain(FOUR)
    start = Checkpoint(chain_id=CHAIN_ID, block_hash="0x" + "ab" * 32, committee=chain.committees[0])
    with pytest.raises(NetworkError, match="does not have block"):
        follow(chain, start=start)
    with pytest.raises(CheckpointError, match="the checkpoint names another"):
        lie = changed("headerBytes", lambda _: "0x" + chain.blocks[0].header.hex(), block=start.block_hash)
        follow(chain, Server(chain, lambda *args: lie(*args[:2], args[2] or chain_header(chain))), start)


def chain_header(chain: Chain) -> Any:
    return Server(chain).call("candela_getHeader", "0x0")


def test_checkpoint_with_other_validators_is_refused() -> None:
    chain = Chain(FOUR)
    chain.extend(1)
    start = Checkpoint(
        chain_id=CHAIN_ID, block_hash=checkpoint(chain, 1).block_hash, committee=committee(0, [1, 2, 3, 9])
    )
    with pytest.raises(CertificateError):
        follow(chain, start=start)


@pytest.mark.parametrize("signers", [[1, 2], [1, 2, 9], []])
def test_block_without_a_quorum_is_refused(signers: list[int]) -> None:
    chain = Chain(FOUR)
    client = follow(chain)
    chain.extend(1)
    block, honest = chain.blocks[1], chain.committees[0]
    forged = sorted({*FOUR, 9} - {4}) if 9 in signers else FOUR
    block.certificate = (
        certify(signers, committee(0, forged), proposal(0, 1, block.hash)) if signers else b"\0\1\0" + block.hash
    )
    with pytest.raises(CertificateError):
        client.advance()
    assert (client.head.number, client.committee) == (0, honest)


def test_certificate_of_another_block_is_refused() -> None:
    chain = Chain(FOUR)
    chain.extend(5)
    client = follow(chain)
    server = Server(chain, changed("certificate", lambda _: "0x" + chain.blocks[2].certificate.hex()))
    client = follow(chain, server)
    with pytest.raises((CertificateError, NetworkError)):
        client.advance()
    assert client.head.number == 0


def test_fork_at_a_known_height_is_noticed() -> None:
    chain = Chain(FOUR)
    chain.extend(1)
    client = follow(chain)
    client.advance()
    chain.blocks.pop()
    chain.extend(1, timestamp_ms=chain.start_ms + 1500)
    with pytest.raises(CertificateError, match="can't both be final"):
        client.advance()


def test_node_that_lags_is_named() -> None:
    chain = Chain(FOUR)
    chain.extend(3)
    client = follow(chain)
    client.advance()
    del chain.blocks[2:]
    with pytest.raises(NetworkError, match="at block 1"):
        client.advance()


def test_old_validators_can_t_go_on_after_an_election() -> None:
    chain = four_epochs()
    client = follow(chain)
    client.advance()
    chain.epoch = 0
    chain.extend(1)
    with pytest.raises(CertificateError, match="epoch 0, not of 3"):
        client.advance()


def test_next_validators_can_t_begin_without_the_ledger_s_commitment() -> None:
    chain = Chain(FOUR)
    chain.extend(3)
    forged = Chain(FOUR)
    forged.blocks, forged.committees = chain.blocks[:], [chain.committees[0], committee(1, [91, 92, 93, 94])]
    forged.signers = [FOUR, [91, 92, 93, 94]]
    client = follow(chain, Server(forged))
    forged.enter()
    forged.extend(2)
    with pytest.raises(CheckpointError, match="are not those that block 3 commits to"):
        client.advance()
    assert client.committee == chain.committees[0]


@pytest.mark.parametrize("wrong", [[2, 3, 4, 9], [2, 3, 4], [2, 3, 4, 5, 6]])
def test_seats_that_the_ledger_does_not_commit_to_are_refused(wrong: list[int]) -> None:
    chain = four_epochs()
    other = Chain(FOUR)
    other.committees = [chain.committees[0], committee(1, wrong, 10**21)]

    def lie(method: str, params: Any, answer: Any) -> Any:
        return Server(other).call(method, *params) if method == "eth_call" else answer

    with pytest.raises(CheckpointError, match="epoch 1 are not those"):
        follow(chain, Server(chain, lie)).advance()


def test_proof_of_another_root_is_refused() -> None:
    chain = four_epochs()

    def lie(method: str, params: Any, answer: Any) -> Any:
        if method == "candela_getProof":
            answer["storageProof"][0]["value"] = "0x" + "77" * 32
        return answer

    with pytest.raises(ProofError):
        follow(chain, Server(chain, lie)).advance()


def test_answers_that_are_no_headers_are_refused() -> None:
    chain = Chain(FOUR)
    chain.extend(2)
    for answer in (
        {},
        [],
        7,
        "0x",
        {"headerBytes": "0x", "certificate": "0x"},
        chain_header(chain) | {"certificate": "x"},
    ):
        server = Server(chain)
        client = follow(chain, server)
        server.lie = lambda _, __, ___, answer=answer: answer
        with pytest.raises(NetworkError):
            client.advance()
    chain.blocks[1].certificate = chain.blocks[2].certificate
    server = Server(chain, lambda _, params, answer: chain_header(chain) if "0x2" in params else answer)
    with pytest.raises(NetworkError, match="asked for 0x2"):
        follow(chain, server, checkpoint(chain, 1))


LONG = four_epochs()


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_no_change_of_one_answer_makes_a_client_believe_another_chain(data: st.DataObject) -> None:
    chain = LONG
    target = data.draw(st.integers(1, 40), label="answer")
    hashes = {"0x" + block.hash.hex() for block in chain.blocks}
    count = 0

    def lie(_: str, __: Any, answer: Any) -> Any:
        nonlocal count
        count += 1
        return mutated(answer, data) if count == target else answer

    server = Server(chain, lie)
    try:
        client = follow(chain, server)
        client.advance()
    except Error:
        return
    assert client.head.hash in hashes
    assert client.committee in chain.committees


def mutated(answer: Any, data: st.DataObject) -> Any:
    """An answer with one byte of one text changed."""
    text = msgspec.json.encode(answer).decode()
    digits = [match.start() for match in re.finditer(r"(?<=[0-9a-f])[0-9a-f](?=[0-9a-f])", text)]
    if not digits:
        return answer
    place = data.draw(st.sampled_from(digits), label="place")
    return msgspec.json.decode(text[:place] + data.draw(st.sampled_from("0123456789abcdef")) + text[place + 1 :])


def test_client_asks_few_questions() -> None:
    chain = Chain(FOUR)
    chain.extend(200)
    chain.elect([2, 3, 4, 5])
    chain.extend(1)
    chain.enter()
    chain.extend(200)
    server = Server(chain)
    client = follow(chain, server)
    client.advance()
    assert client.committee.epoch == 1
    assert server.asked < 20


def test_checkpoint_survives_its_file(tmp_path: Path) -> None:
    chain = four_epochs()
    path, written = tmp_path / "checkpoint.json", checkpoint(chain, 0, 3)
    written.write(path)
    assert Checkpoint.read(path) == written
    for content in ("{}", "[]", "\xff", path.read_text().replace("4410948", "-1"), path.read_text() + "x", "[" * 9999):
        path.write_text(content, encoding="latin-1")
        with pytest.raises(CheckpointError):
            Checkpoint.read(path)
    path.write_bytes(b" " * (1 << 17))
    with pytest.raises(CheckpointError, match="bytes"):
        Checkpoint.read(path)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        Checkpoint.read(tmp_path / "missing")


def test_shuffled_seats_in_a_file_are_refused(tmp_path: Path) -> None:
    chain = Chain(FOUR)
    path = tmp_path / "checkpoint.json"
    checkpoint(chain).write(path)
    document = msgspec.json.decode(path.read_bytes())
    document["committee"]["seats"].reverse()
    path.write_bytes(msgspec.json.encode(document))
    with pytest.raises(CheckpointError, match="in no order"):
        Checkpoint.read(path)


def test_encoding_of_seats_is_the_contract_s() -> None:
    from eth_abi import encode as abi_encode  # pyright: ignore[reportPrivateImportUsage]

    from candela import _ledger

    whole = committee(3, FOUR, 5)
    pairs = [(int(seat.key, 16), int(seat.stake)) for seat in whole.seats]
    assert whole.root == _ledger.keccak256(abi_encode(["uint256", "uint256[2][]"], [3, pairs]))
    rows = [("0x" + "ab" * 20, seat.public_key, int(seat.stake)) for seat in whole.seats]
    returned = abi_encode(["(address,bytes32,uint256)[]"], [rows])
    assert type(whole).decode(3, returned) == whole
    for wrong in (b"", returned[:-1], returned + bytes(32), bytes(len(returned)), b"\xff" * len(returned)):
        with pytest.raises(CheckpointError):
            type(whole).decode(3, wrong)


def test_signatures_of_zip_215_count() -> None:
    """A key of small order signs anything by the rules that validators follow, so a light client must agree."""
    identity = (1).to_bytes(32, "little")
    whole = type(committee(0, FOUR)).of_keys(0, [identity])
    block_hash = bytes(32)
    signature = identity + bytes(32)
    from candela.chain import certificate

    encoded = encode(proposal(0, 1, block_hash), 1, {0: signature})
    certificate.verify(certificate.decode(encoded), whole, CHAIN_ID)
    assert secret(1).public_key().public_bytes_raw() != identity
