# pragma version 0.4.3
# pragma evm-version prague
"""
@title Factory of node shares
@license MIT OR Apache-2.0
@author The Candela developers
@notice Makes a vault for a provider: a clone of one implementation (ERC-1167) that registers itself as the provider.
"""

interface Shares:
    def initialize(owner: address, operator: address, name: String[64], symbol: String[16], commission: uint256): payable

# @notice Least stake of an owner who offers shares, in nit.
MIN_STAKE: public(constant(uint256)) = 10**18

event VaultCreated:
    vault: indexed(address)
    owner: indexed(address)
    operator: indexed(address)
    commission: uint256
    name: String[64]

implementation: public(immutable(address))
vault_count: public(uint256)
vaults: public(HashMap[uint256, address])
is_vault: public(HashMap[address, bool])


@deploy
def __init__(_implementation: address):
    """
    @param _implementation A deployed Shares contract.
    """
    implementation = _implementation


@external
@payable
def create(operator: address, name: String[64], symbol: String[16], commission: uint256) -> address:
    """
    @notice Make a vault that the caller owns; the value is the owner's first stake.
    @param operator The key that signs leases and receipts; nobody else's operator.
    @param name Name of the share token.
    @param symbol Its symbol.
    @param commission In basis points, 500 to 2500.
    @return The vault, which is the provider's address from now on.
    """
    assert msg.value >= MIN_STAKE, "shares: stake is too small"
    vault: address = create_minimal_proxy_to(implementation)
    self.vaults[self.vault_count] = vault
    self.vault_count += 1
    self.is_vault[vault] = True
    extcall Shares(vault).initialize(msg.sender, operator, name, symbol, commission, value=msg.value)
    log VaultCreated(vault=vault, owner=msg.sender, operator=operator, commission=commission, name=name)
    return vault
