// viem against a Candela node.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import * as viem from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { chain, secret, stranger } from './chain.js'

const network = viem.defineChain({
  id: chain.chain_id,
  name: 'Candela',
  nativeCurrency: { name: 'Candela', symbol: 'CND', decimals: 18 },
  rpcUrls: { default: { http: [chain.rpc], webSocket: [chain.ws] } },
})
const { abi, bytecode } = chain.contracts.Board
const account = privateKeyToAccount(secret(0))
const client = viem.createPublicClient({ chain: network, transport: viem.http(), pollingInterval: 50 })
const wallet = viem.createWalletClient({ account, chain: network, transport: viem.http() })
const socket = viem.createPublicClient({ chain: network, transport: viem.webSocket(chain.ws) })
const settled = (hash) => client.waitForTransactionReceipt({ hash, timeout: 20_000 })
let board

before(async () => {
  const receipt = await settled(await wallet.deployContract({ abi, bytecode, args: ['hello'] }))
  board = receipt.contractAddress
})
after(async () => (await socket.transport.getRpcClient()).close())

/** Resolves with the error that `promise` rejects with and that is, or is caused by, a `kind`. */
async function failure(promise, kind) {
  const error = await promise.then(
    () => assert.fail('it was accepted'),
    (error) => error,
  )
  const found = error.walk?.((cause) => cause instanceof kind)
  assert.ok(found, `expected ${kind.name}, got ${error}`)
  return found
}

describe('reading', () => {
  test('the chain names itself and its blocks', async () => {
    assert.equal(await client.getChainId(), chain.chain_id)
    const [latest, safe, finalized] = await Promise.all(
      ['latest', 'safe', 'finalized'].map((blockTag) => client.getBlock({ blockTag, includeTransactions: true })),
    )
    assert.equal(latest.hash, finalized.hash)
    assert.equal(safe.hash, finalized.hash)
    assert.equal(latest.transactions[0].from, account.address.toLowerCase())
    assert.equal((await client.getBlock({ blockHash: latest.hash })).number, latest.number)
    assert.equal((await client.getBlock({ blockTag: 'earliest' })).number, 0n)
    assert.equal((await client.getBlock({ blockTag: 'pending' })).number, latest.number + 1n)
  })

  test('a contract was deployed and answers', async () => {
    assert.equal(await client.readContract({ address: board, abi, functionName: 'last' }), 'hello')
    assert.ok((await client.getCode({ address: board })).length > 2)
    const slots = [0n, 1n].map((slot) => client.getStorageAt({ address: board, slot: viem.numberToHex(slot) }))
    assert.equal(viem.getAddress(viem.slice((await Promise.all(slots))[0], 12)), account.address)
  })

  test('requests of one batch are answered together', async () => {
    const batching = viem.createPublicClient({ chain: network, transport: viem.http(chain.rpc, { batch: true }) })
    const owners = chain.accounts.map((each) => each.address)
    const balances = await Promise.all(owners.map((address) => batching.getBalance({ address })))
    assert.ok(balances.every((balance) => balance > 0n))
  })

  test('an access list is made, fees are known, a transaction is filled in', async () => {
    const data = viem.encodeFunctionData({ abi, functionName: 'post', args: ['listed'] })
    const { accessList, gasUsed } = await client.createAccessList({ account, to: board, data })
    assert.equal(viem.getAddress(accessList[0].address), viem.getAddress(board))
    assert.ok(gasUsed > 21_000n)
    const fees = await client.estimateFeesPerGas()
    assert.ok(fees.maxFeePerGas > fees.maxPriorityFeePerGas)
    const history = await client.getFeeHistory({ blockCount: 2, rewardPercentiles: [10, 90] })
    assert.equal(history.baseFeePerGas.length, 3)
    assert.equal(history.reward[0].length, 2)
    const filled = await client.request({
      method: 'eth_fillTransaction',
      params: [{ from: account.address, to: board, data }],
    })
    assert.ok(BigInt(filled.tx.gas) > 21_000n)
    assert.equal(viem.getAddress(filled.tx.to), viem.getAddress(board))
  })
})

describe('sending', () => {
  const types = {
    legacy: {},
    eip2930: { accessList: [{ address: stranger, storageKeys: [viem.zeroHash] }] },
    eip1559: {},
  }
  for (const [type, fields] of Object.entries(types)) {
    test(type, async () => {
      const before = await client.getBalance({ address: stranger })
      const receipt = await settled(await wallet.sendTransaction({ to: stranger, value: 5n, type, ...fields }))
      assert.equal(receipt.status, 'success')
      assert.equal(receipt.type, type)
      assert.equal(await client.getBalance({ address: stranger }), before + 5n)
      const sent = await client.getTransaction({ hash: receipt.transactionHash })
      assert.equal(sent.type, type)
      assert.equal(sent.blockHash, receipt.blockHash)
    })
  }

  test('eip7702 gives an account code', async () => {
    const owner = privateKeyToAccount(generatePrivateKey())
    await settled(await wallet.sendTransaction({ to: owner.address, value: viem.parseEther('1') }))
    const own = viem.createWalletClient({ account: owner, chain: network, transport: viem.http() })
    const authorization = await own.signAuthorization({ contractAddress: board })
    const data = viem.encodeFunctionData({ abi, functionName: 'post', args: ['delegated'] })
    const receipt = await settled(
      await wallet.sendTransaction({ to: owner.address, data, authorizationList: [authorization], gas: 300_000n }),
    )
    assert.equal(receipt.type, 'eip7702')
    assert.equal(await client.getCode({ address: owner.address }), viem.concat(['0xef0100', board]).toLowerCase())
    assert.equal(await client.readContract({ address: owner.address, abi, functionName: 'last' }), 'delegated')
  })

  test('eip4844 is refused in words', async () => {
    const fields = {
      type: 'eip4844', chainId: network.id, nonce: 0, gas: 21_000n, to: stranger, maxFeePerGas: 10n ** 10n,
      maxPriorityFeePerGas: 1n, maxFeePerBlobGas: 1n, blobVersionedHashes: [`0x01${'00'.repeat(31)}`],
    }
    const serializedTransaction = await account.signTransaction(fields)
    await assert.rejects(client.sendRawTransaction({ serializedTransaction }), /blob transactions \(type 3\)/)
  })

  test('the synchronous form answers with the receipt', async () => {
    const request = await wallet.prepareTransactionRequest({ to: stranger, value: 1n })
    const serializedTransaction = await account.signTransaction(request)
    const receipt = await client.sendRawTransactionSync({ serializedTransaction })
    assert.equal(receipt.status, 'success')
    assert.equal(receipt.transactionHash, viem.keccak256(serializedTransaction))
  })
})

describe('failing calls', () => {
  const simulate = (functionName, args, as = account) =>
    client.simulateContract({ address: board, abi, functionName, args, account: as })

  test('a reason is read', async () => {
    const error = await failure(simulate('post', ['']), viem.ContractFunctionRevertedError)
    assert.equal(error.reason, 'board: the text is empty')
  })

  test('a custom error is decoded', async () => {
    const error = await failure(simulate('clear', [], stranger), viem.ContractFunctionRevertedError)
    assert.equal(error.data.errorName, 'NotOwner')
    assert.equal(error.data.args[0].toLowerCase(), stranger)
  })

  test('a failed transaction has a receipt that says so', async () => {
    const data = viem.encodeFunctionData({ abi, functionName: 'post', args: [''] })
    const receipt = await settled(await wallet.sendTransaction({ to: board, data, gas: 200_000n }))
    assert.equal(receipt.status, 'reverted')
  })

  test('a loop without end costs no more than the cap', async () => {
    await assert.rejects(client.readContract({ address: board, abi, functionName: 'endless' }), /out of gas/)
  })
})

describe('mistakes are named as geth names them', () => {
  const send = (fields) => wallet.sendTransaction({ to: stranger, gas: 21_000n, maxFeePerGas: 10n ** 9n, ...fields })
  const next = () => client.getTransactionCount({ address: account.address, blockTag: 'pending' })

  test('nonce too low', async () => {
    const error = await failure(send({ nonce: 0 }), viem.NonceTooLowError)
    assert.match(error.details, /^nonce too low: next nonce \d+, tx nonce 0$/)
  })
  test('insufficient funds', async () => {
    const poor = privateKeyToAccount(generatePrivateKey())
    const error = await failure(send({ account: poor, value: 1n, nonce: 0 }), viem.InsufficientFundsError)
    assert.match(error.details, /^insufficient funds for gas \* price \+ value: /)
  })
  test('intrinsic gas too low', async () => {
    await failure(send({ gas: 20_999n, nonce: await next() }), viem.IntrinsicGasTooLowError)
  })
  test('another chain', async () => {
    const serializedTransaction = await account.signTransaction({
      type: 'eip1559', chainId: 1, nonce: await next(), gas: 21_000n, to: stranger, maxFeePerGas: 10n ** 9n,
    })
    await assert.rejects(client.sendRawTransaction({ serializedTransaction }), /invalid chain id for signer/)
  })
  test('the same transaction twice, and a replacement that pays no more', async () => {
    const nonce = (await next()) + 1
    const sign = (value) =>
      account.signTransaction({
        type: 'eip1559', chainId: network.id, nonce, gas: 21_000n, to: stranger, value,
        maxFeePerGas: 10n ** 9n, maxPriorityFeePerGas: 10n ** 8n,
      })
    const first = await sign(1n)
    await client.sendRawTransaction({ serializedTransaction: first })
    await assert.rejects(client.sendRawTransaction({ serializedTransaction: first }), /already known/)
    const other = await sign(2n)
    const replaced = client.sendRawTransaction({ serializedTransaction: other })
    await assert.rejects(replaced, /replacement transaction underpriced/)
    // The gap is filled, and what waited behind it goes through.
    await settled(await send({ nonce: nonce - 1 }))
    await settled(viem.keccak256(first))
  })
})

describe('events', () => {
  const post = (text) => wallet.writeContract({ address: board, abi, functionName: 'post', args: [text] })

  test('by range, topic and filter', async () => {
    const filter = await client.createContractEventFilter({ address: board, abi, eventName: 'Posted' })
    const receipt = await settled(await post('one'))
    const changes = await client.getFilterChanges({ filter })
    assert.deepEqual(changes.map((log) => log.args.text), ['one'])
    assert.deepEqual(await client.getFilterChanges({ filter }), [])
    assert.ok((await client.getFilterLogs({ filter })).length >= 1)
    assert.ok(await client.uninstallFilter({ filter }))
    const { number } = changes[0].args
    const logs = await client.getContractEvents({
      address: board, abi, eventName: 'Posted', args: { author: account.address, number }, fromBlock: 0n,
    })
    assert.equal(logs.length, 1)
    assert.equal(logs[0].transactionHash, receipt.transactionHash)
    const none = { address: board, abi, eventName: 'Posted', args: { author: stranger }, fromBlock: 0n }
    assert.deepEqual(await client.getContractEvents(none), [])
  })

  test('over a WebSocket: blocks, logs and pending transactions', async () => {
    const seen = { heads: [], texts: [], hashes: [] }
    const subscribe = (params, onData) => socket.transport.subscribe({ params, onData: ({ result }) => onData(result) })
    const text = (log) => viem.decodeEventLog({ abi, ...log }).args.text
    const subscriptions = await Promise.all([
      subscribe(['newHeads'], (head) => seen.heads.push(head.hash)),
      subscribe(['logs', { address: board }], (log) => seen.texts.push(text(log))),
      subscribe(['newPendingTransactions'], (hash) => seen.hashes.push(hash)),
    ])
    const hash = await post('over the wire')
    const { blockHash } = await settled(hash)
    const complete = () =>
      seen.texts.includes('over the wire') && seen.heads.includes(blockHash) && seen.hashes.includes(hash)
    for (let waited = 0; !complete() && waited < 10_000; waited += 20) await setTimeout(20)
    assert.ok(complete(), JSON.stringify(seen))
    await Promise.all(subscriptions.map((each) => each.unsubscribe()))
  })
})
