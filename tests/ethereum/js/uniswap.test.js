// Uniswap V2 as published, deployed from its unmodified artefacts: amounts are checked to the wei.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, test } from 'node:test'
import * as viem from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { chain, secret } from './chain.js'

const artefact = (path) => JSON.parse(readFileSync(new URL(`node_modules/@uniswap/${path}.json`, import.meta.url)))
const code = (artefact) => `0x${(artefact.evm?.bytecode.object ?? artefact.bytecode).replace(/^0x/, '')}`
const FACTORY = artefact('v2-core/build/UniswapV2Factory')
const PAIR = artefact('v2-core/build/UniswapV2Pair')
const ROUTER = artefact('v2-periphery/build/UniswapV2Router02')
const WETH = artefact('v2-periphery/build/WETH9')
const TOKEN = chain.contracts.Token
const MINIMUM_LIQUIDITY = 1_000n
const FOREVER = 2n ** 64n

const network = viem.defineChain({
  id: chain.chain_id,
  name: 'Candela',
  nativeCurrency: { name: 'Candela', symbol: 'CND', decimals: 18 },
  rpcUrls: { default: { http: [chain.rpc] } },
})
const account = privateKeyToAccount(secret(2))
const client = viem.createPublicClient({ chain: network, transport: viem.http(), pollingInterval: 50 })
const wallet = viem.createWalletClient({ account, chain: network, transport: viem.http() })

async function settled(hash) {
  const receipt = await client.waitForTransactionReceipt({ hash, timeout: 20_000 })
  assert.equal(receipt.status, 'success')
  return receipt
}
async function deploy(abi, bytecode, args = []) {
  const { contractAddress: address } = await settled(await wallet.deployContract({ abi, bytecode, args }))
  return viem.getContract({ address, abi, client: { public: client, wallet } })
}

/** What a swap of `amount` pays out of reserves of `from` and `to`, after the fee of 0.3 %. */
const paid = (amount, from, to) => (amount * 997n * to) / (from * 1_000n + amount * 997n)
/** What must go in for `amount` to come out. */
const charged = (amount, from, to) => (from * amount * 1_000n) / ((to - amount) * 997n) + 1n
const root = (value) => {
  let guess = value
  for (let next = (guess + 1n) / 2n; next < guess; next = (guess + value / guess) / 2n) guess = next
  return guess
}

let factory, router, weth, gold, silver, pair

before(async () => {
  factory = await deploy(FACTORY.abi, code(FACTORY), [account.address])
  weth = await deploy(WETH.abi, code(WETH))
  router = await deploy(ROUTER.abi, code(ROUTER), [factory.address, weth.address])
  gold = await deploy(TOKEN.abi, TOKEN.bytecode, [10n ** 24n])
  silver = await deploy(TOKEN.abi, TOKEN.bytecode, [10n ** 24n])
  for (const token of [gold, silver]) await settled(await token.write.approve([router.address, viem.maxUint256]))
})

const own = (token) => token.read.balanceOf([account.address])

/** The pair's reserves of gold and silver. */
async function reserves() {
  const [first, second] = await pair.read.getReserves()
  return (await pair.read.token0()) === viem.getAddress(gold.address) ? [first, second] : [second, first]
}

test('liquidity makes a pair, whose shares are the root of the product', async () => {
  const [goldIn, silverIn] = [3n * 10n ** 18n + 7n, 5n * 10n ** 18n + 11n]
  const to = account.address
  await settled(
    await router.write.addLiquidity([gold.address, silver.address, goldIn, silverIn, 0n, 0n, to, FOREVER]),
  )
  const address = await factory.read.getPair([gold.address, silver.address])
  pair = viem.getContract({ address, abi: PAIR.abi, client: { public: client, wallet } })
  assert.deepEqual(await reserves(), [goldIn, silverIn])
  assert.equal(await own(pair), root(goldIn * silverIn) - MINIMUM_LIQUIDITY)
})

test('an exact amount in', async () => {
  const amount = 10n ** 17n + 3n
  const [goldBefore, silverBefore] = await reserves()
  const expected = paid(amount, goldBefore, silverBefore)
  const path = [gold.address, silver.address]
  assert.deepEqual(await router.read.getAmountsOut([amount, path]), [amount, expected])
  const before = await own(silver)
  await settled(await router.write.swapExactTokensForTokens([amount, expected, path, account.address, FOREVER]))
  assert.equal((await own(silver)) - before, expected)
  assert.deepEqual(await reserves(), [goldBefore + amount, silverBefore - expected])
})

test('an exact amount out', async () => {
  const amount = 10n ** 16n + 1n
  const [goldBefore, silverBefore] = await reserves()
  const expected = charged(amount, silverBefore, goldBefore)
  const path = [silver.address, gold.address]
  const before = await own(silver)
  await settled(await router.write.swapTokensForExactTokens([amount, expected, path, account.address, FOREVER]))
  assert.equal(before - (await own(silver)), expected)
  assert.deepEqual(await reserves(), [goldBefore - amount, silverBefore + expected])
})

test('too little out is refused in the router’s words', async () => {
  const path = [gold.address, silver.address]
  const greedy = [10n ** 15n, 10n ** 20n, path, account.address, FOREVER]
  await assert.rejects(
    router.simulate.swapExactTokensForTokens(greedy, { account }),
    /UniswapV2Router: INSUFFICIENT_OUTPUT_AMOUNT/,
  )
})

test('native coins are wrapped on the way', async () => {
  const value = 10n ** 18n
  const liquidity = [gold.address, 10n ** 18n, 0n, 0n, account.address, FOREVER]
  await settled(await router.write.addLiquidityETH(liquidity, { value }))
  const expected = paid(10n ** 15n, value, 10n ** 18n)
  const before = await own(gold)
  const path = [weth.address, gold.address]
  const swap = [expected, path, account.address, FOREVER]
  await settled(await router.write.swapExactETHForTokens(swap, { value: 10n ** 15n }))
  assert.equal((await own(gold)) - before, expected)
})

test('liquidity comes back in proportion', async () => {
  const shares = (await own(pair)) / 2n
  const supply = await pair.read.totalSupply()
  const [goldReserve, silverReserve] = await reserves()
  const [goldBefore, silverBefore] = [await own(gold), await own(silver)]
  await settled(await pair.write.approve([router.address, viem.maxUint256]))
  const to = account.address
  await settled(
    await router.write.removeLiquidity([gold.address, silver.address, shares, 0n, 0n, to, FOREVER]),
  )
  assert.equal((await own(gold)) - goldBefore, (shares * goldReserve) / supply)
  assert.equal((await own(silver)) - silverBefore, (shares * silverReserve) / supply)
})
