export type { Account, Hex } from './document.js'
export { type Part, ProofError } from './error.js'
export { type Question, type Shown, verify } from './verify.js'
