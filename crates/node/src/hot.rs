//! The read that programs do most, exported by hand: what the macro does for every function, looking after borrowed arguments and
//! wrapping answers, takes a tenth of the time of reading a document, and so does a second crossing for its text.
//!
//! `getLent(store, collection, key, at, atOnce)` reads as `getSync` does, through the block that was lent. It answers with a number,
//! as `getSync` does, or with the text of the record that now lies in the block, if the text is ASCII and not long.

#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use fountain_engine::{Error, ErrorCode, Result};
use napi::bindgen_prelude::{Buffer, Object};
use napi::{Env, JsError, JsValue, Status, sys};
use napi_derive::napi;

use crate::errors::{answer, bad_argument, failure_of_host, thrown};
use crate::reads::{self, Lent, LentRead};
use crate::thread::{keep_block, view, with_block};

const ARGUMENTS: usize = 5;

/// Lends the environment a block for as long as it lives, and puts the functions that read through it into an object. JavaScript
/// gives the block to nobody else, never lets go of its memory, and leaves it alone during a call.
#[napi(catch_unwind)]
pub fn lend(env: Env, environment: u32, block: Buffer, into: Object<'_>) -> answer::Result<()> {
    keep_block(environment, block).map_err(|error| thrown(&error))?;
    let name = c"getLent";
    let mut function = ptr::null_mut();
    // SAFETY: the environment is the one of this call, the name ends with NUL, and `get_lent` is a Node-API callback.
    let status = unsafe {
        let created = sys::napi_create_function(
            env.raw(),
            name.as_ptr(),
            name.count_bytes().cast_signed(),
            Some(get_lent),
            ptr::null_mut(),
            &raw mut function,
        );
        if created == sys::Status::napi_ok {
            sys::napi_set_named_property(env.raw(), into.raw(), name.as_ptr(), function)
        } else {
            created
        }
    };
    checked(status).map_err(|error| thrown(&error))
}

unsafe extern "C" fn get_lent(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: Node calls this on the environment's thread, with an environment and arguments that live until it returns.
    let answered = catch_unwind(AssertUnwindSafe(|| unsafe { answer(env, info) }));
    let failed = || Err(Error::new(ErrorCode::Internal, "a panic while reading"));
    match answered.unwrap_or_else(|_| failed()) {
        Ok(value) => value,
        Err(error) => {
            // SAFETY: as above; the exception is pending when this returns.
            unsafe { JsError::from(thrown(&error)).throw_into(env) };
            ptr::null_mut()
        }
    }
}

/// # Safety
/// Those of a Node-API callback.
unsafe fn answer(env: sys::napi_env, info: sys::napi_callback_info) -> Result<sys::napi_value> {
    let (mut count, mut given) = (ARGUMENTS, [ptr::null_mut(); ARGUMENTS]);
    let (this, data) = (ptr::null_mut(), ptr::null_mut());
    let (mut store, mut collection, mut key, mut at, mut at_once) = (0, 0, 0, 0.0, false);
    // SAFETY: there is room for as many arguments as are asked for; those that are missing become `undefined`, which is no number.
    let read = unsafe {
        sys::napi_get_cb_info(env, info, &raw mut count, given.as_mut_ptr(), this, data)
            | sys::napi_get_value_uint32(env, given[0], &raw mut store)
            | sys::napi_get_value_uint32(env, given[1], &raw mut collection)
            | sys::napi_get_value_uint32(env, given[2], &raw mut key)
            | sys::napi_get_value_double(env, given[3], &raw mut at)
            | sys::napi_get_value_bool(env, given[4], &raw mut at_once)
    };
    if read != sys::Status::napi_ok {
        return Err(bad_argument("getLent takes four numbers and a boolean"));
    }
    let read = LentRead { collection, key, view: view(at)?, at_once };
    let mut value = ptr::null_mut();
    let status = with_block(store, |engine, block| {
        Ok(match reads::get_lent(engine, block, read)? {
            // SAFETY: `value` is where the answer goes.
            Lent::Number(number) => unsafe { sys::napi_create_int32(env, number, &raw mut value) },
            Lent::Text(start, end) => {
                let text = block.get(start..end).unwrap_or_default();
                // SAFETY: the text is copied before this returns.
                unsafe {
                    sys::napi_create_string_latin1(
                        env,
                        text.as_ptr().cast(),
                        text.len().cast_signed(),
                        &raw mut value,
                    )
                }
            }
        })
    })?;
    checked(status).map(|()| value)
}

/// What Node-API refuses is no fault of the caller's.
fn checked(status: sys::napi_status) -> Result<()> {
    match Status::from(status) {
        Status::Ok => Ok(()),
        status => Err(failure_of_host(&napi::Error::from_status(status))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_node_refuses_is_a_failure_of_the_host_and_not_of_an_argument() {
        assert!(checked(sys::Status::napi_ok).is_ok());
        let error = checked(sys::Status::napi_generic_failure).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::Internal, "Node-API: GenericFailure"));
    }
}
