// ethers against a Candela node.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ethers } from 'ethers'
import { chain, secret, stranger } from './chain.js'

const { abi, bytecode } = chain.contracts.Board
// By default ethers reuses an answer for 250 ms, the next nonce too: too long where blocks take a tenth of that.
const provider = new ethers.JsonRpcProvider(chain.rpc, undefined, { cacheTimeout: -1, pollingInterval: 50 })
const socket = new ethers.WebSocketProvider(chain.ws)
const wallet = new ethers.Wallet(secret(1), provider)
let board

before(async () => {
  board = await new ethers.ContractFactory(abi, bytecode, wallet).deploy('hello')
  await board.waitForDeployment()
})
after(() => {
  provider.destroy()
  // Its own `destroy` would reject requests that ethers makes in the background.
  socket.websocket.close()
})

/** Resolves with the value of an event that must come within ten seconds. */
const within = (promise) => {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('nothing came in ten seconds')), 10_000)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

describe('reading', () => {
  test('the network, its blocks, its fees', async () => {
    assert.equal((await provider.getNetwork()).chainId, BigInt(chain.chain_id))
    const block = await provider.getBlock('finalized', true)
    assert.equal(block.prefetchedTransactions.length, block.transactions.length)
    assert.equal((await provider.getBlock(block.hash)).number, block.number)
    const fees = await provider.getFeeData()
    assert.ok(fees.maxFeePerGas > fees.maxPriorityFeePerGas && fees.gasPrice > 0n)
    assert.equal(await provider.lookupAddress(wallet.address).catch((error) => error.code), 'UNSUPPORTED_OPERATION')
  })

  test('a contract answers', async () => {
    assert.equal(await board.last(), 'hello')
    assert.equal(await board.owner(), wallet.address)
  })
})

describe('sending', () => {
  const types = {
    0: {},
    1: { accessList: [{ address: stranger, storageKeys: [ethers.ZeroHash] }] },
    2: {},
  }
  for (const [type, fields] of Object.entries(types)) {
    test(`type ${type}`, async () => {
      const sent = await wallet.sendTransaction({ to: stranger, value: 7n, type: Number(type), ...fields })
      const receipt = await sent.wait()
      assert.equal(receipt.status, 1)
      assert.equal(receipt.type, Number(type))
      assert.equal((await provider.getTransaction(sent.hash)).value, 7n)
    })
  }

  test('type 4', async () => {
    const owner = ethers.Wallet.createRandom(provider)
    const authorization = await owner.authorize({ address: await board.getAddress(), nonce: 0 })
    const data = board.interface.encodeFunctionData('post', ['delegated'])
    const authorizationList = [authorization]
    const sent = await wallet.sendTransaction({ type: 4, to: owner.address, data, authorizationList, gasLimit: 300_000 })
    assert.equal((await sent.wait()).status, 1)
    assert.equal(await new ethers.Contract(owner.address, abi, provider).last(), 'delegated')
  })

  test('type 3 is refused in words', async () => {
    const fields = {
      type: 3, chainId: chain.chain_id, nonce: 0, gasLimit: 21_000, to: stranger, maxFeePerGas: 10n ** 10n,
      maxPriorityFeePerGas: 1n, maxFeePerBlobGas: 1n, blobVersionedHashes: [`0x01${'00'.repeat(31)}`],
    }
    const raw = await new ethers.Wallet(secret(1)).signTransaction(fields)
    await assert.rejects(provider.send('eth_sendRawTransaction', [raw]), /blob transactions \(type 3\)/)
  })
})

describe('failing calls', () => {
  test('a reason is read, from an estimate and from a call', async () => {
    const expected = { code: 'CALL_EXCEPTION', reason: 'board: the text is empty' }
    await assert.rejects(board.post(''), expected)
    await assert.rejects(board.post.staticCall(''), expected)
  })

  test('a custom error is decoded', async () => {
    const error = await board.connect(provider).clear.staticCall({ from: stranger }).catch((error) => error)
    assert.equal(error.revert.name, 'NotOwner')
    assert.equal(error.revert.args[0].toLowerCase(), stranger)
  })

  test('a failure without a reason is still a failure', async () => {
    await assert.rejects(board.divide(0), { code: 'CALL_EXCEPTION', data: '0x' })
  })

  test('a failed transaction is reported by its receipt', async () => {
    const sent = await board.post('', { gasLimit: 200_000 })
    await assert.rejects(sent.wait(), { code: 'CALL_EXCEPTION' })
  })
})

describe('mistakes have ethers’ codes', () => {
  const send = (fields) => wallet.sendTransaction({ to: stranger, gasLimit: 21_000, maxFeePerGas: 10n ** 9n, ...fields })
  const next = () => wallet.getNonce('pending')

  test('NONCE_EXPIRED', () => assert.rejects(send({ nonce: 0 }), { code: 'NONCE_EXPIRED' }))

  test('INSUFFICIENT_FUNDS', async () => {
    const poor = ethers.Wallet.createRandom(provider)
    await assert.rejects(poor.sendTransaction({ to: stranger, value: 1n, gasLimit: 21_000 }), {
      code: 'INSUFFICIENT_FUNDS',
    })
  })

  test('REPLACEMENT_UNDERPRICED, and a replacement that pays enough', async () => {
    const nonce = (await next()) + 1
    const waiting = await send({ nonce, maxPriorityFeePerGas: 10n ** 8n })
    await assert.rejects(send({ nonce, value: 1n, maxPriorityFeePerGas: 10n ** 8n }), { code: 'REPLACEMENT_UNDERPRICED' })
    const dearer = await send({ nonce, value: 2n, maxFeePerGas: 2n * 10n ** 9n, maxPriorityFeePerGas: 2n * 10n ** 8n })
    await (await send({ nonce: nonce - 1 })).wait()
    assert.equal((await dearer.wait()).status, 1)
    assert.equal(await provider.getTransactionReceipt(waiting.hash), null)
  })
})

describe('events', () => {
  test('by query and by polling', async () => {
    const heard = within(new Promise((resolve) => board.once('Posted', (...args) => resolve(args.at(-1)))))
    // The listener polls from the block at which it was first asked.
    await provider.getBlockNumber()
    const receipt = await (await board.post('polled')).wait()
    const event = await heard
    assert.equal(event.args.text, 'polled')
    const found = await board.queryFilter(board.filters.Posted(wallet.address), receipt.blockNumber)
    assert.deepEqual(found.map((each) => each.transactionHash), [receipt.hash])
    assert.deepEqual(await board.queryFilter(board.filters.Posted(stranger), 0), [])
  })

  test('by WebSocket', async () => {
    const listening = board.connect(socket)
    const heads = []
    await socket.on('block', (number) => heads.push(number))
    const heard = new Promise((resolve) => {
      listening.on('Posted', (...args) => resolve(args.at(-1)))
    })
    // Answered after the subscription has been made.
    await socket.getBlockNumber()
    const posted = await board.post('pushed')
    const event = await within(heard)
    assert.equal(event.args.text, 'pushed')
    assert.ok(heads.includes((await posted.wait()).blockNumber))
    await listening.off('Posted')
    await socket.off('block')
  })
})
