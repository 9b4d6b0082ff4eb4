"""What the registry does with providers, devices and bonds."""

from __future__ import annotations

import boa

from .conftest import CND, World


def test_provider_is_listed_while_its_bond_covers_its_devices(world: World) -> None:
    registry, provider = world.registry, world.provider
    assert registry.providers(provider)[2] == registry.LISTED()
    registry.add_device(1, 1, 1, 1, "gpu", sender=provider)
    assert registry.providers(provider)[2] == registry.REGISTERED()
    registry.top_up_bond(provider, value=CND, sender=world.customer)
    assert registry.providers(provider)[2] == registry.LISTED()
    registry.remove_device(1, sender=provider)
    assert registry.providers(provider)[3] == 1


def test_operator_key_rotates_and_moves_no_money(world: World) -> None:
    operator = boa.env.generate_address("operator")
    world.registry.set_operator(operator, sender=world.provider)
    assert world.registry.provider_of(operator) == world.provider
    with boa.reverts("registry: not a provider"):
        world.registry.exit(sender=operator)
    with boa.reverts("registry: operator is taken"):
        world.registry.register(operator, sender=world.customer)


def test_draining_provider_gets_no_lease_and_can_resume(world: World) -> None:
    job = world.open()
    world.registry.drain(sender=world.provider)
    with boa.reverts("market: device is not listed"):
        world.lease(job)
    world.registry.resume(sender=world.provider)
    assert world.lease(job) != 0


def test_bond_comes_back_after_unbonding_only(world: World) -> None:
    registry, provider = world.registry, world.provider
    registry.exit(sender=provider)
    with boa.reverts("registry: still unbonding"):
        registry.withdraw_bond(sender=provider)
    world.pass_time(registry.UNBONDING_SECONDS())
    registry.withdraw_bond(sender=provider)
    assert boa.env.get_balance(provider) == 1_000 * CND
    with boa.reverts("registry: not exiting"):
        registry.withdraw_bond(sender=provider)


def test_devices_of_an_ended_registration_are_not_offered_again(world: World) -> None:
    registry, provider = world.registry, world.provider
    registry.exit(sender=provider)
    world.pass_time(registry.UNBONDING_SECONDS())
    registry.withdraw_bond(sender=provider)
    registry.register(provider, value=CND, sender=provider)
    device = registry.add_device(0, 1, 1, 1, "new", sender=provider)
    assert registry.offer(provider, device)[1]
    assert not registry.offer(provider, 0)[1]
    with boa.reverts("registry: no such device"):
        registry.remove_device(0, sender=provider)


def test_naming_an_owner_as_operator_does_not_take_over_its_devices(world: World) -> None:
    registry, owner = world.registry, boa.env.generate_address("owner")
    operator = boa.env.generate_address("operator")
    registry.register(operator, sender=owner)
    registry.register(owner, sender=world.customer)
    registry.add_device(0, 1, 1, 1, "own", sender=owner)
    assert registry.providers(owner)[3] == 1
    assert registry.providers(world.customer)[3] == 0
