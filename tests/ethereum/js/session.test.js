// Session transactions (type 0x50): made here from the specification, and read by viem and ethers like any other.
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { before, describe, test } from 'node:test'
import { ethers } from 'ethers'
import * as viem from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { chain, secret, stranger } from './chain.js'

const SESSION_KEYS = '0x0000000000000000000000000000000000000cd3'
const ED25519_PKCS8 = '0x302e020100300506032b657004220420'
const abi = viem.parseAbi(['function authorize(bytes32 key, uint256 expiry, uint256 limit, address[] scope)'])
const account = privateKeyToAccount(secret(5))
const network = viem.defineChain({
  id: chain.chain_id,
  name: 'Candela',
  nativeCurrency: { name: 'Candela', symbol: 'CND', decimals: 18 },
  rpcUrls: { default: { http: [chain.rpc] } },
})
const client = viem.createPublicClient({ chain: network, transport: viem.http(), pollingInterval: 50 })
const wallet = viem.createWalletClient({ account, chain: network, transport: viem.http() })
const vectors = JSON.parse(readFileSync(new URL('../../../vectors/session_transactions.json', import.meta.url), 'utf8'))

/** A session key from its seed of 32 bytes. */
function sessionKey(seed) {
  const key = createPrivateKey({ key: viem.toBytes(viem.concat([ED25519_PKCS8, seed])), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return { publicKey: viem.toHex(spki.subarray(-32)), sign: (message) => viem.toHex(sign(null, message, key)) }
}

/** The encoded transaction; `fields` are JSON-RPC's. */
function encode(fields, key) {
  const number = (quantity) => (BigInt(quantity) === 0n ? '0x' : viem.numberToHex(BigInt(quantity)))
  const unsigned = [
    ...[fields.chainId, fields.nonce, fields.maxPriorityFeePerGas, fields.maxFeePerGas, fields.gas].map(number),
    fields.to ?? '0x',
    number(fields.value),
    fields.data,
    fields.accessList.map(({ address, storageKeys }) => [address, storageKeys]),
    fields.from,
    '0x10',
  ]
  const hash = viem.keccak256(viem.concat(['0x50', viem.toRlp(unsigned)]))
  const message = viem.concat([viem.toHex('\u000fcandela/session'), hash])
  const signature = viem.concat([key.publicKey, key.sign(viem.toBytes(message))])
  return viem.concat(['0x50', viem.toRlp([...unsigned, signature])])
}

for (const { name, seed, fields, raw } of vectors.valid) {
  test(`the vector "${name}" is made here alike`, () => assert.equal(encode(fields, sessionKey(seed)), raw))
}

describe('a session transaction in a block', () => {
  const key = sessionKey(viem.toHex(crypto.getRandomValues(new Uint8Array(32))))
  let receipt

  before(async () => {
    const expiry = BigInt(Math.floor(Date.now() / 1000) + 3600)
    const args = [key.publicKey, expiry, viem.parseEther('1'), []]
    const hash = await wallet.writeContract({ address: SESSION_KEYS, abi, functionName: 'authorize', args })
    assert.equal((await client.waitForTransactionReceipt({ hash, timeout: 20_000 })).status, 'success')
    const fields = {
      chainId: chain.chain_id,
      nonce: await client.getTransactionCount({ address: account.address }),
      maxPriorityFeePerGas: 1_000_000n,
      maxFeePerGas: viem.parseGwei('1'),
      gas: 30_000,
      to: stranger,
      value: 7n,
      data: '0x',
      accessList: [{ address: stranger, storageKeys: [viem.pad('0x05')] }],
      from: account.address,
    }
    const sent = await client.sendRawTransaction({ serializedTransaction: encode(fields, key) })
    receipt = await client.waitForTransactionReceipt({ hash: sent, timeout: 20_000 })
  })

  test('viem reads its receipt, itself, and its block', async () => {
    assert.equal(receipt.status, 'success')
    assert.equal(receipt.type, '0x50')
    assert.equal(receipt.from, account.address.toLowerCase())
    const found = await client.getTransaction({ hash: receipt.transactionHash })
    assert.equal(found.typeHex, '0x50')
    assert.equal(found.value, 7n)
    assert.equal(found.sessionKey, key.publicKey)
    assert.equal(viem.size(found.sessionSignature), 64)
    const block = await client.getBlock({ blockHash: receipt.blockHash, includeTransactions: true })
    assert.ok(block.transactions.some(({ hash }) => hash === receipt.transactionHash))
  })

  test('ethers reads its receipt, itself, and its block', async () => {
    const provider = new ethers.JsonRpcProvider(chain.rpc)
    const found = await provider.getTransaction(receipt.transactionHash)
    assert.equal(found.type, 0x50)
    assert.equal(found.from, account.address)
    assert.equal(found.value, 7n)
    assert.equal((await provider.getTransactionReceipt(receipt.transactionHash)).type, 0x50)
    const block = await provider.getBlock(receipt.blockHash, true)
    assert.equal(block.getPrefetchedTransaction(receipt.transactionHash).hash, receipt.transactionHash)
    provider.destroy()
  })

  test('a key that was not authorized is refused with what to do', async () => {
    const fields = { ...vectors.valid[0].fields, from: account.address.toLowerCase() }
    const serializedTransaction = encode(fields, sessionKey(vectors.valid[0].seed))
    await assert.rejects(client.sendRawTransaction({ serializedTransaction }), /is not authorized by .* call authorize/)
  })
})
