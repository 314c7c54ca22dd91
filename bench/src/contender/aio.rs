// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{io, ptr, sync::Arc};

use anyhow::{bail, Context, Result};
use libc::{aio_error, aio_fsync, aio_return, aio_suspend, aiocb, lio_listio};

use super::{by_hand, Batch, Offer, Refusal};
use crate::work::{Request, Work};

/// Requests of a phase.
struct Requests {
    blocks: Vec<aiocb>,
    are_reads: bool,
}

/// `lio_listio` of all reads at once; `aio_fsync` of each file and `aio_suspend`. The C library
/// makes the calls in threads of its own.
pub fn batch<W: Work>(work: Arc<W>) -> Offer<Batch> {
    let mut phases: Vec<_> = (0..work.phases())
        .map(|phase| requests_of(&*work, phase))
        .collect::<Offer<_>>()?;
    Ok(Box::new(move || {
        for (number, requests) in phases.iter_mut().enumerate() {
            match requests {
                None => by_hand(&*work, number)?,
                Some(requests) => run(requests)?,
            }
            work.conclude(number);
        }
        Ok(())
    }))
}

/// The requests of a phase; none where it is done by plain calls.
fn requests_of<W: Work>(work: &W, phase: usize) -> Offer<Option<Requests>> {
    if work.is_preparation(phase) {
        return Ok(None);
    }
    let mut blocks = Vec::new();
    let mut are_reads = false;
    for unit in 0..work.units(phase) {
        // SAFETY: A control block is a plain structure of C; all zeroes is a valid one, which
        // asks for no notification once `sigev_notify` says so.
        let mut block: aiocb = unsafe { std::mem::zeroed() };
        block.aio_sigevent.sigev_notify = libc::SIGEV_NONE;
        match work.request(phase, unit) {
            Request::Read {
                fd,
                address,
                len,
                offset,
            } => {
                block.aio_fildes = fd;
                block.aio_buf = address as *mut _;
                block.aio_nbytes = len;
                block.aio_offset = offset;
                block.aio_lio_opcode = libc::LIO_READ;
                are_reads = true;
            }
            Request::Sync { fd } => block.aio_fildes = fd,
            Request::NotPossible(reason) => return Err(Refusal::NotPossible(reason)),
        }
        blocks.push(block);
    }
    Ok(Some(Requests { blocks, are_reads }))
}

fn run(requests: &mut Requests) -> Result<()> {
    if requests.are_reads {
        let list: Vec<*mut aiocb> = requests.blocks.iter_mut().map(ptr::from_mut).collect();
        let count = list.len() as i32;
        // SAFETY: The blocks and their buffers live until all requests are over, which is when
        // this returns.
        let done = unsafe { lio_listio(libc::LIO_WAIT, list.as_ptr(), count, ptr::null_mut()) };
        if done != 0 {
            return Err(io::Error::last_os_error()).context("lio_listio");
        }
    } else {
        for block in &mut requests.blocks {
            // SAFETY: The block lives, and stays where it is, until the request is over.
            if unsafe { aio_fsync(libc::O_SYNC, block) } != 0 {
                return Err(io::Error::last_os_error()).context("aio_fsync");
            }
        }
    }
    for block in &mut requests.blocks {
        let block = ptr::from_mut(block);
        // SAFETY: The request was made; asked for its result once, when it is over.
        unsafe {
            while aio_error(block) == libc::EINPROGRESS {
                aio_suspend(&block.cast_const(), 1, ptr::null());
            }
            if aio_return(block) < 0 {
                bail!("a request failed");
            }
        }
    }
    Ok(())
}
