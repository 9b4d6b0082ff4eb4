// Answers of a running node; CANDELA_QUESTIONS names a file with its endpoint, questions and what they have to show.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { ProofError, verify } from '../src/index.js'

interface Asked {
  name: string
  blockHash: string
  address: string
  slots: string[]
  balance: string | null
  values: string[]
}

const file = process.env['CANDELA_QUESTIONS']
const skip = file === undefined && 'CANDELA_QUESTIONS names no running node'

async function proof(rpc: string, { address, slots, blockHash }: Asked): Promise<any> {
  const params = [address, slots, blockHash]
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'candela_getProof', params })
  const response = await fetch(rpc, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })
  const { result, error } = (await response.json()) as { result?: unknown; error?: { message: string } }
  assert.equal(error, undefined, error?.message)
  return result
}

describe('a running node', { skip }, () => {
  const { rpc, questions } = file ? JSON.parse(readFileSync(file, 'utf8')) : { rpc: '', questions: [] }
  for (const asked of questions as Asked[]) {
    test(asked.name, async () => {
      const answer = await proof(rpc, asked)
      const question = { blockHash: asked.blockHash, address: asked.address, slots: asked.slots.map(BigInt) }
      const { account, values } = verify(answer, question)
      assert.equal(account?.balance.toString() ?? null, asked.balance)
      assert.deepEqual(values, asked.values.map(BigInt))
      const other = `${asked.blockHash.slice(0, -1)}${asked.blockHash.endsWith('0') ? '1' : '0'}`
      assert.throws(() => verify(answer, { ...question, blockHash: other }), ProofError)
    })
  }
})
