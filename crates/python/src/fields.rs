//! Read a transaction from a dictionary with JSON-RPC's names.

use crate::convert::{address, bytes, narrow, number, word};
use crate::errors::InvalidTransactionError;
use alloy_consensus::{TxEip1559, TxEip2930, TxEip7702, TxLegacy, TypedTransaction};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use candela_primitives::{Address, Bytes, CandelaTransaction, U256};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

const KNOWN: [&str; 15] = [
    "type",
    "chainId",
    "nonce",
    "gas",
    "gasLimit",
    "gasPrice",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "to",
    "value",
    "data",
    "input",
    "accessList",
    "authorizationList",
    "from",
];

fn refuse<T>(why: impl Into<String>) -> PyResult<T> {
    Err(InvalidTransactionError::new_err(why.into()))
}

/// A dictionary whose `None` values count as missing.
struct Fields<'a, 'py>(&'a Bound<'py, PyDict>);

impl<'py> Fields<'_, 'py> {
    fn get(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.0.get_item(name)?.filter(|value| !value.is_none()))
    }

    /// The one value given under any of two names.
    fn either(&self, name: &str, alias: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        match (self.get(name)?, self.get(alias)?) {
            (Some(first), Some(second)) if !first.eq(&second)? => {
                refuse(format!("'{name}' and '{alias}' are both given and differ"))
            }
            (first, second) => Ok(first.or(second)),
        }
    }

    fn required(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.get(name)?.map_or_else(|| refuse(format!("field '{name}' is missing")), Ok)
    }

    fn require<T: TryFrom<U256>>(&self, name: &str) -> PyResult<T> {
        narrow(name, &self.required(name)?)
    }

    fn gas(&self) -> PyResult<u64> {
        match self.either("gas", "gasLimit")? {
            Some(value) => narrow("gas", &value),
            None => refuse("field 'gas' is missing"),
        }
    }

    fn to(&self) -> PyResult<Option<Address>> {
        match self.get("to")? {
            Some(value) if value.cast::<PyString>().is_ok_and(|text| text == "" || text == "0x") => Ok(None),
            Some(value) => Ok(Some(address("to", &value)?)),
            None => Ok(None),
        }
    }

    fn value(&self) -> PyResult<U256> {
        self.get("value")?.map_or(Ok(U256::ZERO), |value| number("value", &value))
    }

    fn input(&self) -> PyResult<Bytes> {
        self.either("data", "input")?.map_or_else(|| Ok(Bytes::new()), |value| bytes("data", &value))
    }

    fn access_list(&self) -> PyResult<AccessList> {
        let Some(list) = self.get("accessList")? else { return Ok(AccessList::default()) };
        list.try_iter()?.map(|item| access_list_item(&item?)).collect::<PyResult<Vec<_>>>().map(AccessList)
    }

    fn authorization_list(&self) -> PyResult<Vec<SignedAuthorization>> {
        self.required("authorizationList")?.try_iter()?.map(|item| authorization(&item?)).collect()
    }

    /// EIP-2718 type: named, or the oldest that has every given field.
    fn kind(&self) -> PyResult<u8> {
        if self.get("type")?.is_some() {
            return self.require("type");
        }
        let given = |name| Ok::<_, PyErr>(self.get(name)?.is_some());
        if given("authorizationList")? {
            Ok(4)
        } else if given("maxFeePerGas")? || given("maxPriorityFeePerGas")? {
            Ok(2)
        } else {
            Ok(u8::from(given("accessList")?))
        }
    }

    fn check_names(&self) -> PyResult<()> {
        for name in self.0.keys() {
            let Ok(name) = name.cast::<PyString>() else { return refuse("field names must be strings") };
            let name = name.to_cow()?;
            if !KNOWN.contains(&name.as_ref()) {
                return refuse(format!("field '{name}' is unknown"));
            }
        }
        Ok(())
    }

    fn check_signer(&self, signer: Address) -> PyResult<()> {
        match self.get("from")? {
            Some(from) if address("from", &from)? != signer => {
                refuse(format!("'from' is not the address of the key, {signer}"))
            }
            _ => Ok(()),
        }
    }

    fn forbid(&self, kind: u8, names: &[&str]) -> PyResult<()> {
        for name in names {
            if self.get(name)?.is_some() {
                return refuse(format!("field '{name}' does not belong to a transaction of type {kind}"));
            }
        }
        Ok(())
    }

    fn legacy(&self) -> PyResult<TxLegacy> {
        self.forbid(0, &["maxFeePerGas", "maxPriorityFeePerGas", "accessList", "authorizationList"])?;
        Ok(TxLegacy {
            chain_id: self.get("chainId")?.map(|value| narrow("chainId", &value)).transpose()?,
            nonce: self.require("nonce")?,
            gas_price: self.require("gasPrice")?,
            gas_limit: self.gas()?,
            to: self.to()?.into(),
            value: self.value()?,
            input: self.input()?,
        })
    }

    fn eip2930(&self) -> PyResult<TxEip2930> {
        self.forbid(1, &["maxFeePerGas", "maxPriorityFeePerGas", "authorizationList"])?;
        Ok(TxEip2930 {
            chain_id: self.require("chainId")?,
            nonce: self.require("nonce")?,
            gas_price: self.require("gasPrice")?,
            gas_limit: self.gas()?,
            to: self.to()?.into(),
            value: self.value()?,
            access_list: self.access_list()?,
            input: self.input()?,
        })
    }

    fn eip1559(&self) -> PyResult<TxEip1559> {
        self.forbid(2, &["gasPrice", "authorizationList"])?;
        Ok(TxEip1559 {
            chain_id: self.require("chainId")?,
            nonce: self.require("nonce")?,
            gas_limit: self.gas()?,
            max_fee_per_gas: self.require("maxFeePerGas")?,
            max_priority_fee_per_gas: self.require("maxPriorityFeePerGas")?,
            to: self.to()?.into(),
            value: self.value()?,
            access_list: self.access_list()?,
            input: self.input()?,
        })
    }

    fn candela(&self) -> PyResult<CandelaTransaction> {
        const TYPE: u8 = CandelaTransaction::TYPE;
        if self.get("type")?.is_some() && self.require::<u8>("type")? != TYPE {
            return refuse(format!("a session key signs transactions of type {TYPE} only"));
        }
        self.forbid(TYPE, &["gasPrice", "authorizationList"])?;
        Ok(CandelaTransaction {
            chain_id: self.require("chainId")?,
            nonce: self.require("nonce")?,
            max_priority_fee_per_gas: self.require("maxPriorityFeePerGas")?,
            max_fee_per_gas: self.require("maxFeePerGas")?,
            gas_limit: self.gas()?,
            to: self.to()?.into(),
            value: self.value()?,
            data: self.input()?,
            access_list: self.access_list()?,
            sender: address("from", &self.required("from")?)?,
            ..CandelaTransaction::default()
        })
    }

    fn eip7702(&self) -> PyResult<TxEip7702> {
        self.forbid(4, &["gasPrice"])?;
        let Some(to) = self.to()? else { return refuse("a transaction of type 4 needs 'to'") };
        Ok(TxEip7702 {
            chain_id: self.require("chainId")?,
            nonce: self.require("nonce")?,
            gas_limit: self.gas()?,
            max_fee_per_gas: self.require("maxFeePerGas")?,
            max_priority_fee_per_gas: self.require("maxPriorityFeePerGas")?,
            to,
            value: self.value()?,
            access_list: self.access_list()?,
            authorization_list: self.authorization_list()?,
            input: self.input()?,
        })
    }
}

fn access_list_item(item: &Bound<'_, PyAny>) -> PyResult<AccessListItem> {
    let Ok(entry) = item.cast::<PyDict>() else { return refuse("'accessList' must hold dictionaries") };
    let entry = Fields(entry);
    let keys = entry.required("storageKeys")?;
    Ok(AccessListItem {
        address: address("accessList.address", &entry.required("address")?)?,
        storage_keys: keys.try_iter()?.map(|key| word("accessList.storageKeys", &key?)).collect::<PyResult<_>>()?,
    })
}

fn authorization(item: &Bound<'_, PyAny>) -> PyResult<SignedAuthorization> {
    let Ok(entry) = item.cast::<PyDict>() else { return refuse("'authorizationList' must hold dictionaries") };
    let entry = Fields(entry);
    let unsigned = Authorization {
        chain_id: entry.require("chainId")?,
        address: address("authorizationList.address", &entry.required("address")?)?,
        nonce: entry.require("nonce")?,
    };
    let (y_parity, r, s) = (entry.require("yParity")?, entry.require("r")?, entry.require("s")?);
    Ok(SignedAuthorization::new_unchecked(unsigned, y_parity, r, s))
}

/// The unsigned transaction that `fields` describes, to be signed by `signer`.
pub(crate) fn read(fields: &Bound<'_, PyDict>, signer: Address) -> PyResult<TypedTransaction> {
    let fields = Fields(fields);
    fields.check_names()?;
    fields.check_signer(signer)?;
    Ok(match fields.kind()? {
        0 => fields.legacy()?.into(),
        1 => fields.eip2930()?.into(),
        2 => fields.eip1559()?.into(),
        4 => fields.eip7702()?.into(),
        kind => return refuse(format!("transaction type not supported: {kind}")),
    })
}

/// The unsigned transaction of type 0x50 that `fields` describes, to be signed by a session key of `from`.
pub(crate) fn read_session(fields: &Bound<'_, PyDict>) -> PyResult<CandelaTransaction> {
    let fields = Fields(fields);
    fields.check_names()?;
    fields.candela()
}
