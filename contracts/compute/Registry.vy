# pragma version 0.4.3
# pragma evm-version prague
"""
@title Registry of compute providers
@license MIT OR Apache-2.0
@author The Candela developers
@notice Who offers compute: providers with a cold owner key, a rotating operator key, a bond and devices.
@dev A provider is named by its owner's address. The operator key signs day-to-day transactions and can move no money.
     Verdicts of the contract of audits take bonds; it stands at a fixed address, like all system contracts. At any time:
     balance = sum of `bond` over providers.
"""

# @notice The contract whose verdicts take bonds.
AUDITS: public(constant(address)) = 0x0000000000000000000000000000000000000Cd9

# @notice The factory of node shares: the stake in a provider's vault stands behind its bond.
SHARES: public(constant(address)) = 0x0000000000000000000000000000000000000cD6
# @notice Bond per device, in nit.
DEVICE_BOND: public(constant(uint256)) = 10**18
# @notice Seconds between leaving and getting the bond back.
UNBONDING_SECONDS: public(constant(uint256)) = 7 * 24 * 3600
# @notice Seconds for which a slashed provider takes no leases.
JAIL_SECONDS: public(constant(uint256)) = 3600
# @notice Most devices of one provider.
MAX_DEVICES: public(constant(uint32)) = 1024

# @notice Provider states.
REGISTERED: public(constant(uint8)) = 1
LISTED: public(constant(uint8)) = 2
DRAINING: public(constant(uint8)) = 3
EXITING: public(constant(uint8)) = 4
EXITED: public(constant(uint8)) = 5
JAILED: public(constant(uint8)) = 6

# @notice Device kinds.
CPU: public(constant(uint8)) = 0
GPU: public(constant(uint8)) = 1

MAX_TIER: constant(uint8) = 3

interface Factory:
    def is_vault(account: address) -> bool: view

interface Vault:
    def slash(amount: uint256) -> uint256: nonpayable

struct Provider:
    operator: address
    bond: uint256
    state: uint8
    device_count: uint32
    next_device: uint32
    unbonding_until: uint64

struct Device:
    active: bool
    kind: uint8
    sandbox_tier: uint8
    memory_bytes: uint64
    intensity_ucd: uint64
    name: String[64]

event ProviderRegistered:
    provider: indexed(address)
    operator: indexed(address)
    bond: uint256

event OperatorChanged:
    provider: indexed(address)
    operator: indexed(address)

event BondChanged:
    provider: indexed(address)
    bond: uint256

event StateChanged:
    provider: indexed(address)
    state: uint8

event Slashed:
    provider: indexed(address)
    amount: uint256
    bond: uint256
    jailed_until: uint64

event DeviceSet:
    provider: indexed(address)
    device_id: indexed(uint32)
    kind: uint8
    sandbox_tier: uint8
    memory_bytes: uint64
    intensity_ucd: uint64
    name: String[64]

event DeviceRemoved:
    provider: indexed(address)
    device_id: indexed(uint32)

providers: public(HashMap[address, Provider])
provider_of: public(HashMap[address, address])
devices: public(HashMap[address, HashMap[uint32, Device]])
# Devices below this number belong to a registration that has ended.
first_device: HashMap[address, uint32]
# @notice Until when a slashed provider stays in jail, in Unix time.
jailed_until: public(HashMap[address, uint64])
# The vault that is paying a slash just now.
slashing: transient(address)


@external
@payable
def __default__():
    """
    @notice Take what is slashed from a vault, and nothing else.
    """
    assert msg.sender == self.slashing, "registry: call a function"


@external
@payable
def register(operator: address):
    """
    @notice Become a provider; the value is the first bond.
    @param operator The key that signs leases and receipts; may be the caller.
    """
    assert self.providers[msg.sender].state == 0 or self.providers[msg.sender].state == EXITED, "registry: already registered"
    self._claim_operator(msg.sender, operator)
    provider: Provider = empty(Provider)
    provider.operator = operator
    provider.bond = msg.value
    provider.state = REGISTERED
    # Device ids are never reused, so that receipts keep their meaning.
    provider.next_device = self.providers[msg.sender].next_device
    self.first_device[msg.sender] = provider.next_device
    self.providers[msg.sender] = provider
    log ProviderRegistered(provider=msg.sender, operator=operator, bond=msg.value)
    self._relist(msg.sender)


@external
def set_operator(operator: address):
    """
    @notice Replace the operator key; leases taken with the old one stay with it until they end.
    @param operator The new key.
    """
    self._assert_active(msg.sender)
    self.provider_of[self.providers[msg.sender].operator] = empty(address)
    self._claim_operator(msg.sender, operator)
    self.providers[msg.sender].operator = operator
    log OperatorChanged(provider=msg.sender, operator=operator)


@external
@payable
def top_up_bond(provider: address):
    """
    @notice Add the value to a provider's bond.
    @param provider The owner's address.
    """
    self._assert_active(provider)
    self.providers[provider].bond += msg.value
    log BondChanged(provider=provider, bond=self.providers[provider].bond)
    self._relist(provider)


@external
def add_device(
    kind: uint8, sandbox_tier: uint8, memory_bytes: uint64, intensity_ucd: uint64, name: String[64]
) -> uint32:
    """
    @notice Offer one more device.
    @param kind 0 CPU, 1 GPU.
    @param sandbox_tier 0 none, 1 bubblewrap, 2 gVisor, 3 virtual machine.
    @param memory_bytes Memory that a task can use.
    @param intensity_ucd Measured speed in micro-candela (10^6 exact integer operations per second).
    @param name What people call it.
    @return The device's id.
    """
    provider: address = self._provider()
    assert self.providers[provider].device_count < MAX_DEVICES, "registry: too many devices"
    device_id: uint32 = self.providers[provider].next_device
    self.providers[provider].next_device = device_id + 1
    self.providers[provider].device_count += 1
    self._set_device(provider, device_id, kind, sandbox_tier, memory_bytes, intensity_ucd, name)
    self._relist(provider)
    return device_id


@external
def update_device(
    device_id: uint32, kind: uint8, sandbox_tier: uint8, memory_bytes: uint64, intensity_ucd: uint64, name: String[64]
):
    """
    @notice Describe a device anew.
    @param device_id The device.
    @param kind 0 CPU, 1 GPU.
    @param sandbox_tier 0 none, 1 bubblewrap, 2 gVisor, 3 virtual machine.
    @param memory_bytes Memory that a task can use.
    @param intensity_ucd Measured speed in micro-candela.
    @param name What people call it.
    """
    provider: address = self._provider()
    assert self._has_device(provider, device_id), "registry: no such device"
    self._set_device(provider, device_id, kind, sandbox_tier, memory_bytes, intensity_ucd, name)


@external
def remove_device(device_id: uint32):
    """
    @notice Stop offering a device.
    @param device_id The device.
    """
    provider: address = self._provider()
    assert self._has_device(provider, device_id), "registry: no such device"
    self.devices[provider][device_id] = empty(Device)
    self.providers[provider].device_count -= 1
    log DeviceRemoved(provider=provider, device_id=device_id)
    self._relist(provider)


@external
def drain():
    """
    @notice Take no new leases; running ones end in their own time.
    """
    provider: address = self._provider()
    assert self.providers[provider].state <= LISTED, "registry: not listed"
    self._set_state(provider, DRAINING)


@external
def resume():
    """
    @notice Take leases again after draining.
    """
    provider: address = self._provider()
    assert self.providers[provider].state == DRAINING, "registry: not draining"
    self._set_state(provider, REGISTERED)
    self._relist(provider)


@external
def exit():
    """
    @notice Leave for good: the bond can be withdrawn after UNBONDING_SECONDS.
    """
    self._assert_active(msg.sender)
    self.providers[msg.sender].unbonding_until = convert(block.timestamp + UNBONDING_SECONDS, uint64)
    self._set_state(msg.sender, EXITING)


@external
@nonreentrant
def withdraw_bond():
    """
    @notice Get the bond back after leaving; the operator key is free afterwards.
    """
    provider: Provider = self.providers[msg.sender]
    assert provider.state == EXITING, "registry: not exiting"
    assert block.timestamp >= convert(provider.unbonding_until, uint256), "registry: still unbonding"
    self.provider_of[provider.operator] = empty(address)
    self.providers[msg.sender].bond = 0
    self.providers[msg.sender].operator = empty(address)
    self._set_state(msg.sender, EXITED)
    log BondChanged(provider=msg.sender, bond=0)
    raw_call(msg.sender, b"", value=provider.bond)


@external
@nonreentrant
def slash(provider: address, amount: uint256) -> uint256:
    """
    @notice Take from a provider's bond and put it into jail; only the contract of audits may, and it gets the money.
    @dev A provider that is leaving can be slashed until it has its bond back. What a vault's bond does not cover is
         taken from the vault.
    @param provider The owner's address.
    @param amount Most to take, in nit.
    @return What was taken: less where there is less.
    """
    assert msg.sender == AUDITS, "registry: not the contract of audits"
    taken: uint256 = min(amount, self.providers[provider].bond)
    bond: uint256 = self.providers[provider].bond - taken
    self.providers[provider].bond = bond
    until: uint64 = convert(block.timestamp + JAIL_SECONDS, uint64)
    self.jailed_until[provider] = until
    taken += self._slash_vault(provider, amount - taken)
    log Slashed(provider=provider, amount=taken, bond=bond, jailed_until=until)
    if self._is_active(provider):
        self._set_state(provider, JAILED)
    if taken > 0:
        raw_call(AUDITS, b"", value=taken)
    return taken


@external
def leave_jail():
    """
    @notice Return after JAIL_SECONDS; listed again once the bond covers the devices.
    """
    provider: address = self._provider()
    assert self.providers[provider].state == JAILED, "registry: not in jail"
    assert block.timestamp >= convert(self.jailed_until[provider], uint256), "registry: still in jail"
    self._set_state(provider, REGISTERED)
    self._relist(provider)


@external
@view
def offer(operator: address, device_id: uint32) -> (address, bool, Device):
    """
    @notice What the market must know to give a lease.
    @param operator The key that asks.
    @param device_id One of its provider's devices.
    @return The provider, whether it takes leases with this device, and the device.
    """
    provider: address = self.provider_of[operator]
    device: Device = self.devices[provider][device_id]
    listed: bool = self.providers[provider].state == LISTED and self._has_device(provider, device_id)
    return provider, listed, device


@internal
@view
def _provider() -> address:
    # An owner acts for itself, even if somebody else has named its address as their operator.
    provider: address = msg.sender
    if not self._is_active(msg.sender):
        provider = self.provider_of[msg.sender]
    self._assert_active(provider)
    return provider


@internal
@view
def _has_device(provider: address, device_id: uint32) -> bool:
    return device_id >= self.first_device[provider] and self.devices[provider][device_id].active


@internal
@view
def _assert_active(provider: address):
    assert self._is_active(provider), "registry: not a provider"


@internal
@view
def _is_active(provider: address) -> bool:
    state: uint8 = self.providers[provider].state
    return state != 0 and state != EXITING and state != EXITED


@internal
def _slash_vault(provider: address, amount: uint256) -> uint256:
    if amount == 0 or not SHARES.is_contract or not staticcall Factory(SHARES).is_vault(provider):
        return 0
    self.slashing = provider
    taken: uint256 = extcall Vault(provider).slash(amount)
    self.slashing = empty(address)
    return taken


@internal
def _claim_operator(provider: address, operator: address):
    assert operator != empty(address), "registry: operator is zero"
    assert self.provider_of[operator] == empty(address), "registry: operator is taken"
    self.provider_of[operator] = provider


@internal
def _set_device(
    provider: address,
    device_id: uint32,
    kind: uint8,
    sandbox_tier: uint8,
    memory_bytes: uint64,
    intensity_ucd: uint64,
    name: String[64],
):
    assert kind <= GPU, "registry: unknown device kind"
    assert sandbox_tier <= MAX_TIER, "registry: unknown sandbox tier"
    self.devices[provider][device_id] = Device(
        active=True,
        kind=kind,
        sandbox_tier=sandbox_tier,
        memory_bytes=memory_bytes,
        intensity_ucd=intensity_ucd,
        name=name,
    )
    log DeviceSet(
        provider=provider,
        device_id=device_id,
        kind=kind,
        sandbox_tier=sandbox_tier,
        memory_bytes=memory_bytes,
        intensity_ucd=intensity_ucd,
        name=name,
    )


@internal
def _relist(provider: address):
    # REGISTERED and LISTED follow from the bond; the other states are left by name.
    entry: Provider = self.providers[provider]
    if entry.state > LISTED:
        return
    needed: uint256 = DEVICE_BOND * convert(entry.device_count, uint256)
    wanted: uint8 = REGISTERED
    if entry.device_count > 0 and entry.bond >= needed:
        wanted = LISTED
    if wanted != entry.state:
        self._set_state(provider, wanted)


@internal
def _set_state(provider: address, state: uint8):
    self.providers[provider].state = state
    log StateChanged(provider=provider, state=state)
