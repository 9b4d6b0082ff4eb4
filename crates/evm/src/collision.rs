//! EIP-7610: creating a contract over an account that has storage collides, even where nonce and code are empty.
//!
//! revm looks at nonce and code hash alone. A [`StateReader`](candela_primitives::StateReader) therefore shows such an
//! account with a code hash of zero, which revm takes for a collision and, but for `EXTCODEHASH`, for no code. Nobody can
//! make such an account on Candela; Ethereum's tests have them.

use revm::{
    bytecode::opcode::EXTCODEHASH,
    handler::instructions::EthInstructions,
    interpreter::{
        Host, Instruction, InstructionContext, InstructionExecResult, InterpreterTypes,
        instructions::host::extcodehash, interpreter_types::StackTr,
    },
    primitives::{KECCAK_EMPTY, U256},
};

/// Replaces `EXTCODEHASH` by one that answers with the hash of no code for these accounts.
pub(crate) fn install<Types: InterpreterTypes, H: Host>(instructions: &mut EthInstructions<Types, H>) {
    let gas = instructions.gas_table()[EXTCODEHASH as usize];
    instructions.insert_instruction(EXTCODEHASH, Instruction::new(code_hash), gas);
}

fn code_hash<Types: InterpreterTypes, H: Host + ?Sized>(
    context: InstructionContext<'_, H, Types>,
) -> InstructionExecResult {
    let InstructionContext { interpreter, host } = context;
    let address = interpreter.stack.data().last().copied();
    extcodehash(InstructionContext { interpreter: &mut *interpreter, host: &mut *host })?;
    let Some(address) = address else { return Ok(()) };
    let Some(([], top)) = interpreter.stack.popn_top::<0>() else { return Ok(()) };
    if top.is_zero() {
        let address = revm::primitives::Address::from_word(address.into());
        let exists = host.load_account_info_skip_cold_load(address, false, false).is_ok_and(|found| !found.is_empty());
        *top = if exists { U256::from_be_bytes(KECCAK_EMPTY.0) } else { U256::ZERO };
    }
    Ok(())
}
