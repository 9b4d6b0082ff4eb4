// The running chain that the tests are pointed at.
import { readFileSync } from 'node:fs'

/** Endpoints, chain id, funded accounts and compiled contracts. */
export const chain = JSON.parse(readFileSync(process.env.CANDELA_CHAIN, 'utf8'))

/** Secret key of the funded account `index`; every program has its own, so that nonces never meet. */
export const secret = (index) => chain.accounts[index].private_key

/** An account that nobody has. */
export const stranger = '0x00000000000000000000000000000000000abcde'
