/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/* Made of nlcall.yaml by `cargo xtask header`; change that instead. */
#ifndef _NLCALL_H
#define _NLCALL_H

#include <stddef.h>

#include <linux/types.h>

/*
 * Any system call, asynchronously, as a netlink message.
 *
 * A SUBMIT message holds one or many system calls. The kernel executes them as
 * if a thread of the sending process had made them, and sends a completion for
 * each. A message is accepted whole or rejected whole. Everything is in native
 * byte order, for x86-64 only. Unknown flags, reserved fields that are not zero
 * and trailing bytes are rejected.
 *
 * Netlink aligns attributes to four bytes: copy structures out of them with
 * memcpy().
 */

#define NLCALL_FAMILY_NAME "nlcall"
#define NLCALL_FAMILY_VERSION 1
#define NLCALL_MCGRP_TRACE "trace"

/*
 * Largest complete message in bytes, headers included, unless the session
 * raised it.
 */
#define NLCALL_MAX_COMPLETE_LEN 8192
/* Most bytes of the area of a message, see the attribute data of submit. */
#define NLCALL_MAX_AREA 1048576
/* Most bytes of the output areas of one call. */
#define NLCALL_MAX_OUTPUT 60000
/* How many calls back in its chain an argument may come from. */
#define NLCALL_REACH 1024
/* Most bytes of memory that a trace event has for one argument. */
#define NLCALL_TRACE_MEMORY_MAX 256
/* Netlink protocol number of the classic front end. */
#define NLCALL_CLASSIC_PROTOCOL 28
/* Bits of the arg-kinds member of call that hold one argument's kind. */
#define NLCALL_ARG_KIND_BITS 4
/* Number of the buckets of latency. */
#define NLCALL_LATENCY_BUCKETS 24

/**
 * enum nlcall_flag - Flags of a call.
 * @NLCALL_FLAG_LINK: The next call of the batch starts only when this one
 *   succeeded; returned no error and, for read, write, pread64, pwrite64,
 *   splice and tee, transferred as many bytes as it was asked for. Otherwise
 *   the rest of the chain completes with the outcome canceled.
 * @NLCALL_FLAG_HARDLINK: The next call of the batch starts when this one ended,
 *   however it ended.
 * @NLCALL_FLAG_DRAIN: This call starts when all earlier calls of the session
 *   completed, and later ones wait. One in a chain holds for the whole chain.
 *   Orders the calls of workers; not with inline.
 * @NLCALL_FLAG_INLINE: Execute in the submitting thread before its sendmsg
 *   returns.
 * @NLCALL_FLAG_SKIP_SUCCESS: No completion where the call succeeded, in the
 *   sense of link.
 */
enum nlcall_flag {
	NLCALL_FLAG_LINK = 1 << 0,
	NLCALL_FLAG_HARDLINK = 1 << 1,
	NLCALL_FLAG_DRAIN = 1 << 2,
	NLCALL_FLAG_INLINE = 1 << 3,
	NLCALL_FLAG_SKIP_SUCCESS = 1 << 4,
};

/**
 * enum nlcall_arg_kind - What an argument of a call is. Four bits each in the
 *   arg-kinds member of call, the first argument in the lowest.
 * @NLCALL_ARG_KIND_VALUE: The argument itself.
 * @NLCALL_ARG_KIND_DATA: Offset in the message's area (the attribute data of
 *   submit), at or before its end; the call gets the address.
 * @NLCALL_ARG_KIND_OUT: Output area: length in the upper 32 bits, offset in the
 *   message's area in the lower. The call gets the address; where it ran, with
 *   whatever result, what is there then is returned in the completion's data,
 *   one area of the call behind the other. The output areas of a message lie in
 *   its area in the order of the arguments and do not overlap.
 * @NLCALL_ARG_KIND_RESULT: Result of an earlier call of the same chain, by its
 *   index in the batch.
 * @NLCALL_ARG_KIND_LOAD: Field of the output of an earlier call of the same
 *   chain; index in the batch (bits 0..24), width in bytes (24..32; 1, 2, 4 or
 *   8) and offset (32..64). It is read when the call starts and extended with
 *   zeroes. The output is that of the call's only argument of kind out-ptr or
 *   out.
 * @NLCALL_ARG_KIND_OUT_PTR: The argument itself, an address; what the call
 *   writes there is its output, for load. At most one argument of a call.
 */
enum nlcall_arg_kind {
	NLCALL_ARG_KIND_VALUE = 0,
	NLCALL_ARG_KIND_DATA = 1,
	NLCALL_ARG_KIND_OUT = 2,
	NLCALL_ARG_KIND_RESULT = 3,
	NLCALL_ARG_KIND_LOAD = 4,
	NLCALL_ARG_KIND_OUT_PTR = 5,
};

/**
 * enum nlcall_outcome - How a call ended.
 * @NLCALL_OUTCOME_RAN: The call ran to its end; ret is its own result, errors
 *   included.
 * @NLCALL_OUTCOME_NOT_STARTED: The call never started; ret says why (-EAGAIN,
 *   no worker could be made, or seccomp not be asked; -EINTR, a signal came
 *   first; -ESRCH, the process or its thread ended, or executed another
 *   program).
 * @NLCALL_OUTCOME_CANCELED: Cancelled before it started; ret is -ECANCELED.
 * @NLCALL_OUTCOME_TIMED_OUT: Its time limit passed; ret is -ETIME.
 * @NLCALL_OUTCOME_REFUSED: Refused by seccomp, which was asked on behalf of the
 *   submitting thread; ret is what a plain call would have returned, mostly an
 *   error, or the value that a supervisor or a tracer gave. Where a signal was
 *   raised instead (SECCOMP_RET_TRAP), it is -ENOSYS.
 * @NLCALL_OUTCOME_INTERRUPTED: It started and was interrupted (cancel, end of
 *   the process); ret is -EINTR and restart says how the kernel would have
 *   restarted it. It may have had effects.
 */
enum nlcall_outcome {
	NLCALL_OUTCOME_RAN = 0,
	NLCALL_OUTCOME_NOT_STARTED = 1,
	NLCALL_OUTCOME_CANCELED = 2,
	NLCALL_OUTCOME_TIMED_OUT = 3,
	NLCALL_OUTCOME_REFUSED = 4,
	NLCALL_OUTCOME_INTERRUPTED = 5,
};

/**
 * enum nlcall_restart - What the kernel would have done with an interrupted
 *   call (include/linux/errno.h).
 * @NLCALL_RESTART_NONE: Not interrupted, or not restartable.
 * @NLCALL_RESTART_NO_INTR: ERESTARTNOINTR, restart always.
 * @NLCALL_RESTART_SYS: ERESTARTSYS, restart where SA_RESTART is set.
 * @NLCALL_RESTART_NO_HAND: ERESTARTNOHAND, restart where no handler ran.
 * @NLCALL_RESTART_BLOCK: ERESTART_RESTARTBLOCK, continue with the remaining
 *   time.
 */
enum nlcall_restart {
	NLCALL_RESTART_NONE = 0,
	NLCALL_RESTART_NO_INTR = 1,
	NLCALL_RESTART_SYS = 2,
	NLCALL_RESTART_NO_HAND = 3,
	NLCALL_RESTART_BLOCK = 4,
};

/**
 * enum nlcall_verdict - What may be done with a system call.
 * @NLCALL_VERDICT_BOTH: Executes on a worker and inline.
 * @NLCALL_VERDICT_DIFFERS: Executes on a worker with a stated difference, and
 *   inline.
 * @NLCALL_VERDICT_INLINE_ONLY: Executes only inline.
 * @NLCALL_VERDICT_REFUSED: Refused.
 */
enum nlcall_verdict {
	NLCALL_VERDICT_BOTH = 0,
	NLCALL_VERDICT_DIFFERS = 1,
	NLCALL_VERDICT_INLINE_ONLY = 2,
	NLCALL_VERDICT_REFUSED = 3,
};

/**
 * enum nlcall_call_state - Where a call is.
 * @NLCALL_CALL_STATE_ACCEPTED: The message was accepted; the sender has not yet
 *   returned to user mode.
 * @NLCALL_CALL_STATE_QUEUED: Waits for a worker.
 * @NLCALL_CALL_STATE_RUNNING: A worker executes it.
 * @NLCALL_CALL_STATE_INTERRUPTED: Was interrupted for the kernel's own reasons
 *   and will be re-issued by its worker.
 * @NLCALL_CALL_STATE_DONE: Ended; the completion waits for room in the receive
 *   buffer.
 */
enum nlcall_call_state {
	NLCALL_CALL_STATE_ACCEPTED = 0,
	NLCALL_CALL_STATE_QUEUED = 1,
	NLCALL_CALL_STATE_RUNNING = 2,
	NLCALL_CALL_STATE_INTERRUPTED = 3,
	NLCALL_CALL_STATE_DONE = 4,
};

/**
 * enum nlcall_session_state - State of a session.
 * @NLCALL_SESSION_STATE_OPEN: Takes submissions.
 * @NLCALL_SESSION_STATE_ENDED: The owner ended or executed another program;
 *   completions can still be read.
 * @NLCALL_SESSION_STATE_CLOSED: The socket was closed; the session goes as soon
 *   as its workers have.
 */
enum nlcall_session_state {
	NLCALL_SESSION_STATE_OPEN = 0,
	NLCALL_SESSION_STATE_ENDED = 1,
	NLCALL_SESSION_STATE_CLOSED = 2,
};

/**
 * enum nlcall_front_end - How a session is spoken to.
 * @NLCALL_FRONT_END_GENERIC: The generic-netlink family.
 * @NLCALL_FRONT_END_CLASSIC: Raw netlink protocol classic-protocol.
 */
enum nlcall_front_end {
	NLCALL_FRONT_END_GENERIC = 0,
	NLCALL_FRONT_END_CLASSIC = 1,
};

/**
 * enum nlcall_trace_event - What an event tells.
 * @NLCALL_TRACE_EVENT_SUBMITTED: A call was accepted.
 * @NLCALL_TRACE_EVENT_COMPLETED: A call ended; whether it ran is its outcome.
 * @NLCALL_TRACE_EVENT_REJECTED: A message was rejected.
 */
enum nlcall_trace_event {
	NLCALL_TRACE_EVENT_SUBMITTED = 0,
	NLCALL_TRACE_EVENT_COMPLETED = 1,
	NLCALL_TRACE_EVENT_REJECTED = 2,
};

/**
 * enum nlcall_way - How a call travels.
 * @NLCALL_WAY_WORKER: On a worker of the process that submitted it.
 * @NLCALL_WAY_INLINE: In the thread that submitted it.
 * @NLCALL_WAY_TARGET: On a worker of another process.
 */
enum nlcall_way {
	NLCALL_WAY_WORKER = 0,
	NLCALL_WAY_INLINE = 1,
	NLCALL_WAY_TARGET = 2,
};

/**
 * struct nlcall_call - One system call request.
 * @user_data: Opaque; returned in the completion.
 * @nr: System call number of the x86-64 table.
 * @flags: Bits of flag.
 * @args: The six arguments, u64 each; unused ones are zero.
 * @arg_kinds: The arg-kind of each argument, arg-kind-bits bits each; the upper
 *   eight bits are zero.
 * @reserved: Zero.
 * @timeout_ns: Time limit in nanoseconds from the start of the call; 0 for
 *   none.
 */
struct nlcall_call {
	__u64 user_data;
	__u32 nr;
	__u32 flags;
	__u64 args[6];
	__u32 arg_kinds;
	__u32 reserved;
	__u64 timeout_ns;
};

/**
 * struct nlcall_call_result - One completion.
 * @user_data: Of the call.
 * @ret: What the system call returned, a value or a negative errno in
 *   -4095..=-1.
 * @outcome: How the call ended.
 * @restart: What the kernel would have done with an interrupted call.
 * @data_off: Offset of the call's output in the message's data, in bytes.
 * @data_len: Length of the call's output in bytes.
 * @reserved: Zero.
 */
struct nlcall_call_result {
	__u64 user_data;
	__s64 ret;
	__u16 outcome;
	__u16 restart;
	__u32 data_off;
	__u32 data_len;
	__u32 reserved;
};

/**
 * struct nlcall_results_header - Head of a results array in the sender's memory
 *   (results-ptr); the entries follow.
 * @done: Entries written so far; stored after each entry, with release order. A
 *   message's results are written behind those that are there.
 * @capacity: Entries that fit. Results for which there is no place are sent.
 * @reserved: Zero. Otherwise nothing is written, and all results are sent.
 */
struct nlcall_results_header {
	__u32 done;
	__u32 capacity;
	__u64 reserved;
};

/**
 * struct nlcall_latency - How long the calls of one system call number took in
 *   a session, from acceptance to the delivery of the completion to the receive
 *   buffer. Calls of workers, however they ended; not those without a
 *   completion (skip-success).
 * @nr: System call number; all bits set for all those that no place was left
 *   for.
 * @reserved: Zero.
 * @count: Completions delivered.
 * @total_ns: Nanoseconds that they took together.
 * @buckets: How many took how long, u32 each. Bucket 0 less than 1024 ns,
 *   bucket k from 2^(k+9) to less than 2^(k+10) ns, the last one anything
 *   longer.
 */
struct nlcall_latency {
	__u32 nr;
	__u32 reserved;
	__u64 count;
	__u64 total_ns;
	__u32 buckets[24];
};

/**
 * struct nlcall_reloc - One pointer inside data.
 * @at: Offset in data of the eight bytes to fill in, a multiple of 8.
 * @to: Offset in the message's area that they shall point to.
 */
struct nlcall_reloc {
	__u32 at;
	__u32 to;
};

/**
 * struct nlcall_readi - The message of the classic front end, which is no part
 *   of this family. The completion is the same structure with the return value
 *   in count.
 * @pid: Process in whose context to read.
 * @fd: Descriptor to read from.
 * @ptr: Address of the buffer in that process.
 * @count: Bytes to read; in the completion, the return value.
 * @padding: Padding of the C structure; ignored.
 */
struct nlcall_readi {
	__s32 pid;
	__s32 fd;
	__u64 ptr;
	__s32 count;
	__u8 padding[4];
};

/**
 * enum nlcall_cmd - Commands of the family.
 * @NLCALL_CMD_SUBMIT: (do) Execute the calls of this message.
 * @NLCALL_CMD_COMPLETE: (event) Results, unicast to the session. Its sequence
 *   number is 0.
 * @NLCALL_CMD_CANCEL: (do) Cancel calls in flight.
 * @NLCALL_CMD_FEATURES_GET: (do) What this module supports.
 * @NLCALL_CMD_SESSION_GET: (dump) Sessions; all of them for the host's root.
 * @NLCALL_CMD_CALL_GET: (dump) Calls in flight.
 * @NLCALL_CMD_SYSCALL_GET: (dump) The policy table.
 * @NLCALL_CMD_CONFIG_GET: (do) Limits and access.
 * @NLCALL_CMD_CONFIG_SET: (do) Change limits and access; needs CAP_SYS_ADMIN in
 *   the initial user namespace.
 * @NLCALL_CMD_TRACE: (event on the group trace) A call was accepted or ended,
 *   or a message was rejected. Reaches members of the group in the initial
 *   network namespace whose socket was opened with CAP_SYS_ADMIN in the initial
 *   user namespace, once a trace-start asked for it.
 * @NLCALL_CMD_TRACE_START: (do) Events shall be sent, to this socket among
 *   others, which has joined the group before; needs CAP_SYS_ADMIN in the
 *   initial user namespace. They are sent until nobody is left that they reach.
 *   The reply has the number of the last event.
 */
enum nlcall_cmd {
	NLCALL_CMD_SUBMIT = 1,
	NLCALL_CMD_COMPLETE = 2,
	NLCALL_CMD_CANCEL = 3,
	NLCALL_CMD_FEATURES_GET = 4,
	NLCALL_CMD_SESSION_GET = 5,
	NLCALL_CMD_CALL_GET = 6,
	NLCALL_CMD_SYSCALL_GET = 7,
	NLCALL_CMD_CONFIG_GET = 8,
	NLCALL_CMD_CONFIG_SET = 9,
	NLCALL_CMD_TRACE = 10,
	NLCALL_CMD_TRACE_START = 11,
};

/**
 * enum nlcall_a_submit - Attributes of submit.
 * @NLCALL_A_SUBMIT_CALL_SIZE: (u32) Size of one entry of calls in bytes. At
 *   least that of struct call and a multiple of 8; bytes beyond those that the
 *   module knows must be zero.
 * @NLCALL_A_SUBMIT_CALLS: (binary, may repeat) Packed array of struct call.
 *   nla_len is 16 bits wide, so longer batches use several attributes; an entry
 *   never straddles two of them.
 * @NLCALL_A_SUBMIT_DATA: (binary, may repeat) Bytes that arguments refer to.
 *   The payloads are concatenated. They are copied to an area in the memory of
 *   the executing process, before its first call starts. The area reaches to
 *   the end of these bytes or of the last output area, whichever is behind, at
 *   most max-area bytes; beyond the bytes it is zero. It is unmapped when the
 *   last call of the message has ended. Only for calls of workers.
 * @NLCALL_A_SUBMIT_RELOC: (binary, may repeat) Packed array of struct reloc.
 * @NLCALL_A_SUBMIT_TARGET_PIDFD: (u32) A pidfd of the sender; the calls execute
 *   in that process, on workers of its own, with the credentials that its
 *   leader has at that moment. The sender needs the right to ptrace it, and
 *   CAP_SYS_ADMIN in the initial user namespace where it is under seccomp.
 * @NLCALL_A_SUBMIT_RESULTS_PTR: (u64) Address of a struct results-header in the
 *   sender, a multiple of 8. The results are written behind it instead of being
 *   sent in a complete message; one that cannot be written arrives in such a
 *   message all the same. Only where every call of the message is inline.
 * @NLCALL_A_SUBMIT_DATA_PTR: (u64) Address of the data in the sender, instead
 *   of data.
 * @NLCALL_A_SUBMIT_DATA_LEN: (u64) Length of the data at data-ptr in bytes.
 * @NLCALL_A_SUBMIT_PAD: (pad)
 */
enum nlcall_a_submit {
	NLCALL_A_SUBMIT_CALL_SIZE = 1,
	NLCALL_A_SUBMIT_CALLS = 2,
	NLCALL_A_SUBMIT_DATA = 3,
	NLCALL_A_SUBMIT_RELOC = 4,
	NLCALL_A_SUBMIT_TARGET_PIDFD = 5,
	NLCALL_A_SUBMIT_RESULTS_PTR = 6,
	NLCALL_A_SUBMIT_DATA_PTR = 7,
	NLCALL_A_SUBMIT_DATA_LEN = 8,
	NLCALL_A_SUBMIT_PAD = 9,
	NLCALL_A_SUBMIT_MAX = 9,
};

/**
 * enum nlcall_a_complete - Attributes of complete.
 * @NLCALL_A_COMPLETE_RESULTS: (binary) Packed array of struct call-result.
 * @NLCALL_A_COMPLETE_DATA: (binary) Output areas; struct call-result says which
 *   bytes are whose.
 */
enum nlcall_a_complete {
	NLCALL_A_COMPLETE_RESULTS = 1,
	NLCALL_A_COMPLETE_DATA = 2,
	NLCALL_A_COMPLETE_MAX = 2,
};

/**
 * enum nlcall_a_cancel - Attributes of cancel and of its reply. A request names
 *   exactly one of the first four.
 * @NLCALL_A_CANCEL_USER_DATA: (u64) Cancel the calls with this user-data.
 * @NLCALL_A_CANCEL_FD: (s32) Cancel the calls whose first argument is this
 *   descriptor, of those system calls whose first argument is a descriptor.
 * @NLCALL_A_CANCEL_NR: (u32) Cancel the calls of this system call number.
 * @NLCALL_A_CANCEL_ALL: (flag) Cancel everything in flight.
 * @NLCALL_A_CANCEL_CANCELED: (u32) Calls that had not started; they complete
 *   with outcome canceled.
 * @NLCALL_A_CANCEL_INTERRUPTED: (u32) Running calls that were asked to stop;
 *   their completion says whether they did (outcome interrupted) or came to
 *   their end all the same (outcome ran).
 * @NLCALL_A_CANCEL_PAD: (pad)
 */
enum nlcall_a_cancel {
	NLCALL_A_CANCEL_USER_DATA = 1,
	NLCALL_A_CANCEL_FD = 2,
	NLCALL_A_CANCEL_NR = 3,
	NLCALL_A_CANCEL_ALL = 4,
	NLCALL_A_CANCEL_CANCELED = 5,
	NLCALL_A_CANCEL_INTERRUPTED = 6,
	NLCALL_A_CANCEL_PAD = 7,
	NLCALL_A_CANCEL_MAX = 7,
};

/**
 * enum nlcall_a_features - Attributes of the reply to features-get.
 * @NLCALL_A_FEATURES_CALL_SIZE: (u32) Size of struct call in bytes.
 * @NLCALL_A_FEATURES_RESULT_SIZE: (u32) Size of struct call-result in bytes.
 * @NLCALL_A_FEATURES_CALL_FLAGS: (u64; of enum nlcall_flag) Mask of the call
 *   flags that work.
 * @NLCALL_A_FEATURES_ARG_KINDS: (u32; bits by enum nlcall_arg_kind) Mask with
 *   bit k set where argument kind k works.
 * @NLCALL_A_FEATURES_SUBMIT_ATTRS: (u64) Mask with bit n set where attribute n
 *   of submit works.
 * @NLCALL_A_FEATURES_MAX_IN_FLIGHT: (u32) Most calls in flight per session.
 * @NLCALL_A_FEATURES_MAX_WORKERS: (u32) Most workers per session.
 * @NLCALL_A_FEATURES_KERNEL: (string) Release of the running kernel, as uname
 *   -r prints it.
 * @NLCALL_A_FEATURES_POLICY_HASH: (u64) FNV-1a hash of the policy table; two
 *   modules with the same hash decide alike.
 * @NLCALL_A_FEATURES_MODULE_VERSION: (string) Version of the module.
 * @NLCALL_A_FEATURES_PAD: (pad)
 */
enum nlcall_a_features {
	NLCALL_A_FEATURES_CALL_SIZE = 1,
	NLCALL_A_FEATURES_RESULT_SIZE = 2,
	NLCALL_A_FEATURES_CALL_FLAGS = 3,
	NLCALL_A_FEATURES_ARG_KINDS = 4,
	NLCALL_A_FEATURES_SUBMIT_ATTRS = 5,
	NLCALL_A_FEATURES_MAX_IN_FLIGHT = 6,
	NLCALL_A_FEATURES_MAX_WORKERS = 7,
	NLCALL_A_FEATURES_KERNEL = 8,
	NLCALL_A_FEATURES_POLICY_HASH = 9,
	NLCALL_A_FEATURES_MODULE_VERSION = 10,
	NLCALL_A_FEATURES_PAD = 11,
	NLCALL_A_FEATURES_MAX = 11,
};

/**
 * enum nlcall_a_session - Attributes of session-get and of its replies.
 * @NLCALL_A_SESSION_ID: (u64) Number of the session, unique since the module
 *   was loaded.
 * @NLCALL_A_SESSION_PID: (u32) Process id (thread group) of the owner in the
 *   reader's pid namespace, 0 where it is not visible there or the owner has
 *   ended.
 * @NLCALL_A_SESSION_COMM: (string) Name (comm) of the owner.
 * @NLCALL_A_SESSION_PORTID: (u32) Netlink port id of the socket.
 * @NLCALL_A_SESSION_STATE: (u32; of enum nlcall_session_state) State of the
 *   session.
 * @NLCALL_A_SESSION_IN_FLIGHT: (u32) Calls accepted whose completion was not
 *   yet delivered.
 * @NLCALL_A_SESSION_QUEUED: (u32) Calls that wait for a worker.
 * @NLCALL_A_SESSION_RUNNING: (u32) Calls that a worker executes, blocked ones
 *   included.
 * @NLCALL_A_SESSION_BLOCKED: (u32) Running calls that are blocked.
 * @NLCALL_A_SESSION_UNDELIVERED: (u32) Completions that wait for room in the
 *   receive buffer.
 * @NLCALL_A_SESSION_WORKERS: (u32) Workers of the session.
 * @NLCALL_A_SESSION_SATURATED: (flag) Every worker up to the cap is blocked and
 *   calls wait.
 * @NLCALL_A_SESSION_ACCEPTED: (u64) Calls accepted since the session began.
 * @NLCALL_A_SESSION_DELIVERED: (u64) Completions delivered since the session
 *   began.
 * @NLCALL_A_SESSION_REJECTED: (u64) Calls that a message named and that were
 *   rejected with it.
 * @NLCALL_A_SESSION_LAST_SEQ: (u32) nlmsg_seq of the last submit that was
 *   accepted.
 * @NLCALL_A_SESSION_FRONT_END: (u32; of enum nlcall_front_end) How the session
 *   is spoken to.
 * @NLCALL_A_SESSION_PAD: (pad)
 * @NLCALL_A_SESSION_OWN: (flag) Request only the session of the asking socket.
 * @NLCALL_A_SESSION_SKIPPED: (u64) Calls that succeeded without a completion,
 *   as they asked for (skip-success).
 * @NLCALL_A_SESSION_CANCELED: (u64) Calls that ended with the outcome canceled.
 * @NLCALL_A_SESSION_TIMED_OUT: (u64) Calls that ended with the outcome
 *   timed-out.
 * @NLCALL_A_SESSION_INLINE: (u64) Calls that were executed by their submitting
 *   thread, not those of them that never started.
 * @NLCALL_A_SESSION_IDLE: (u32) Workers without a call.
 * @NLCALL_A_SESSION_LATENCY: (binary, may repeat) A latency structure for each
 *   system call number with delivered completions of calls for workers.
 * @NLCALL_A_SESSION_TARGET_OF: (u32) The calls execute in another process, the
 *   owner, on behalf of the process with this id (thread group), 0 where that
 *   is not visible or has ended.
 */
enum nlcall_a_session {
	NLCALL_A_SESSION_ID = 1,
	NLCALL_A_SESSION_PID = 2,
	NLCALL_A_SESSION_COMM = 3,
	NLCALL_A_SESSION_PORTID = 4,
	NLCALL_A_SESSION_STATE = 5,
	NLCALL_A_SESSION_IN_FLIGHT = 6,
	NLCALL_A_SESSION_QUEUED = 7,
	NLCALL_A_SESSION_RUNNING = 8,
	NLCALL_A_SESSION_BLOCKED = 9,
	NLCALL_A_SESSION_UNDELIVERED = 10,
	NLCALL_A_SESSION_WORKERS = 11,
	NLCALL_A_SESSION_SATURATED = 12,
	NLCALL_A_SESSION_ACCEPTED = 13,
	NLCALL_A_SESSION_DELIVERED = 14,
	NLCALL_A_SESSION_REJECTED = 15,
	NLCALL_A_SESSION_LAST_SEQ = 16,
	NLCALL_A_SESSION_FRONT_END = 17,
	NLCALL_A_SESSION_PAD = 18,
	NLCALL_A_SESSION_OWN = 19,
	NLCALL_A_SESSION_SKIPPED = 20,
	NLCALL_A_SESSION_CANCELED = 21,
	NLCALL_A_SESSION_TIMED_OUT = 22,
	NLCALL_A_SESSION_INLINE = 23,
	NLCALL_A_SESSION_IDLE = 24,
	NLCALL_A_SESSION_LATENCY = 25,
	NLCALL_A_SESSION_TARGET_OF = 26,
	NLCALL_A_SESSION_MAX = 26,
};

/**
 * enum nlcall_a_call - Attributes of the replies to call-get.
 * @NLCALL_A_CALL_SESSION: (u64) Number of the session.
 * @NLCALL_A_CALL_USER_DATA: (u64) The call's user-data; only with the right to
 *   ptrace the owner.
 * @NLCALL_A_CALL_NR: (u32) System call number.
 * @NLCALL_A_CALL_STATE: (u32; of enum nlcall_call_state) Where the call is.
 * @NLCALL_A_CALL_AGE_NS: (u64) Nanoseconds since the call was accepted.
 * @NLCALL_A_CALL_WORKER: (u32) Thread id of the worker that executes it.
 * @NLCALL_A_CALL_ARGS: (binary) Six u64 arguments; only with the right to
 *   ptrace the owner.
 * @NLCALL_A_CALL_PAD: (pad)
 */
enum nlcall_a_call {
	NLCALL_A_CALL_SESSION = 1,
	NLCALL_A_CALL_USER_DATA = 2,
	NLCALL_A_CALL_NR = 3,
	NLCALL_A_CALL_STATE = 4,
	NLCALL_A_CALL_AGE_NS = 5,
	NLCALL_A_CALL_WORKER = 6,
	NLCALL_A_CALL_ARGS = 7,
	NLCALL_A_CALL_PAD = 8,
	NLCALL_A_CALL_MAX = 8,
};

/**
 * enum nlcall_a_syscall - Attributes of the replies to syscall-get.
 * @NLCALL_A_SYSCALL_NR: (u32) System call number.
 * @NLCALL_A_SYSCALL_NAME: (string) Name, as in the kernel's table.
 * @NLCALL_A_SYSCALL_VERDICT: (u32; of enum nlcall_verdict) What may be done
 *   with it.
 * @NLCALL_A_SYSCALL_REASON: (string) Why, in words; absent where the call
 *   executes everywhere without a difference. Where it begins with "only
 *   INLINE", the verdict is that of most arguments, and the reason names those
 *   that a worker may not have.
 */
enum nlcall_a_syscall {
	NLCALL_A_SYSCALL_NR = 1,
	NLCALL_A_SYSCALL_NAME = 2,
	NLCALL_A_SYSCALL_VERDICT = 3,
	NLCALL_A_SYSCALL_REASON = 4,
	NLCALL_A_SYSCALL_MAX = 4,
};

/**
 * enum nlcall_a_config - Attributes of config-get replies and of config-set.
 * @NLCALL_A_CONFIG_MAX_IN_FLIGHT: (u32) Most calls in flight per session.
 * @NLCALL_A_CONFIG_MAX_WORKERS: (u32) Most workers per session.
 * @NLCALL_A_CONFIG_ACCESS: (string) root, everyone or a decimal group id.
 * @NLCALL_A_CONFIG_MAX_IN_FLIGHT_USER: (u32) Most calls in flight of all
 *   sessions of a user.
 * @NLCALL_A_CONFIG_MAX_WORKERS_USER: (u32) Most workers of all sessions of a
 *   user.
 * @NLCALL_A_CONFIG_MAX_WORKERS_TOTAL: (u32) Most workers of the machine.
 * @NLCALL_A_CONFIG_MAX_RUNNING: (u32) Most workers of a session that run at the
 *   same time; 0 means as many as there are processors, at most four.
 * @NLCALL_A_CONFIG_IDLE_MS: (u32) Milliseconds that a worker without a call
 *   stays.
 * @NLCALL_A_CONFIG_MAX_INLINE_BYTES: (u32) Most bytes of messages with inline
 *   calls that wait for their senders to return, and of areas of messages in
 *   flight, of all sessions of a user.
 */
enum nlcall_a_config {
	NLCALL_A_CONFIG_MAX_IN_FLIGHT = 1,
	NLCALL_A_CONFIG_MAX_WORKERS = 2,
	NLCALL_A_CONFIG_ACCESS = 3,
	NLCALL_A_CONFIG_MAX_IN_FLIGHT_USER = 4,
	NLCALL_A_CONFIG_MAX_WORKERS_USER = 5,
	NLCALL_A_CONFIG_MAX_WORKERS_TOTAL = 6,
	NLCALL_A_CONFIG_MAX_RUNNING = 7,
	NLCALL_A_CONFIG_IDLE_MS = 8,
	NLCALL_A_CONFIG_MAX_INLINE_BYTES = 9,
	NLCALL_A_CONFIG_MAX = 9,
};

/**
 * enum nlcall_a_trace - Attributes of trace and of the reply to trace-start.
 *   Process and thread ids are those of the initial pid namespace.
 * @NLCALL_A_TRACE_EVENT: (u32; of enum nlcall_trace_event) What the event
 *   tells, which says what else is there.
 * @NLCALL_A_TRACE_SEQ: (u64) Number of the event, one more than that of the one
 *   before. Who misses numbers has lost so many events; its receive buffer was
 *   full, or memory was short.
 * @NLCALL_A_TRACE_TIME_NS: (u64) Nanoseconds since 1970.
 * @NLCALL_A_TRACE_SESSION: (u64) Number of the session; absent where a rejected
 *   message had none.
 * @NLCALL_A_TRACE_PID: (u32) The process that submitted, or in which the call
 *   was executed.
 * @NLCALL_A_TRACE_TID: (u32) The thread that submitted, or executed the call;
 *   absent where none did.
 * @NLCALL_A_TRACE_COMM: (string) Name (comm) of that process.
 * @NLCALL_A_TRACE_USER_DATA: (u64) The call's user-data.
 * @NLCALL_A_TRACE_NR: (u32) System call number.
 * @NLCALL_A_TRACE_FLAGS: (u32; bits by enum nlcall_flag) The call's flags.
 * @NLCALL_A_TRACE_ARGS: (binary) Six u64 arguments; of a call that was
 *   executed, those that it was executed with.
 * @NLCALL_A_TRACE_ARG_KINDS: (u32) What the arguments of a call that was
 *   accepted are.
 * @NLCALL_A_TRACE_WAY: (u32; of enum nlcall_way) How the call travels.
 * @NLCALL_A_TRACE_RET: (s64) The return value.
 * @NLCALL_A_TRACE_OUTCOME: (u32; of enum nlcall_outcome) How the call ended.
 * @NLCALL_A_TRACE_RESTART: (u32; of enum nlcall_restart) What the kernel would
 *   have done with an interrupted call.
 * @NLCALL_A_TRACE_DURATION_NS: (u64) Nanoseconds from the start of the call to
 *   its end; absent where it never started.
 * @NLCALL_A_TRACE_BEFORE: (binary, may repeat) Number of an argument (u32, from
 *   0), and what was in memory where it points to, before the call; up to
 *   trace-memory-max bytes. For each argument that is the address of memory
 *   that is there; numbers may look like one.
 * @NLCALL_A_TRACE_AFTER: (binary, may repeat) The same after the call, where
 *   that is something else.
 * @NLCALL_A_TRACE_COMMAND: (u32) The command of the rejected message.
 * @NLCALL_A_TRACE_ERRNO: (u32) Why it was rejected, an errno (positive).
 * @NLCALL_A_TRACE_TEXT: (string) Why it was rejected, as in its extended
 *   acknowledgement.
 * @NLCALL_A_TRACE_PAD: (pad)
 */
enum nlcall_a_trace {
	NLCALL_A_TRACE_EVENT = 1,
	NLCALL_A_TRACE_SEQ = 2,
	NLCALL_A_TRACE_TIME_NS = 3,
	NLCALL_A_TRACE_SESSION = 4,
	NLCALL_A_TRACE_PID = 5,
	NLCALL_A_TRACE_TID = 6,
	NLCALL_A_TRACE_COMM = 7,
	NLCALL_A_TRACE_USER_DATA = 8,
	NLCALL_A_TRACE_NR = 9,
	NLCALL_A_TRACE_FLAGS = 10,
	NLCALL_A_TRACE_ARGS = 11,
	NLCALL_A_TRACE_ARG_KINDS = 12,
	NLCALL_A_TRACE_WAY = 13,
	NLCALL_A_TRACE_RET = 14,
	NLCALL_A_TRACE_OUTCOME = 15,
	NLCALL_A_TRACE_RESTART = 16,
	NLCALL_A_TRACE_DURATION_NS = 17,
	NLCALL_A_TRACE_BEFORE = 18,
	NLCALL_A_TRACE_AFTER = 19,
	NLCALL_A_TRACE_COMMAND = 20,
	NLCALL_A_TRACE_ERRNO = 21,
	NLCALL_A_TRACE_TEXT = 22,
	NLCALL_A_TRACE_PAD = 23,
	NLCALL_A_TRACE_MAX = 23,
};
/* The layout is the contract. */
#if defined(__cplusplus) && __cplusplus >= 201103L
#define __NLCALL_ASSERT(condition) static_assert(condition, #condition)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define __NLCALL_ASSERT(condition) _Static_assert(condition, #condition)
#endif

#ifdef __NLCALL_ASSERT
__NLCALL_ASSERT(sizeof(struct nlcall_call) == 80);
__NLCALL_ASSERT(offsetof(struct nlcall_call, user_data) == 0);
__NLCALL_ASSERT(offsetof(struct nlcall_call, nr) == 8);
__NLCALL_ASSERT(offsetof(struct nlcall_call, flags) == 12);
__NLCALL_ASSERT(offsetof(struct nlcall_call, args) == 16);
__NLCALL_ASSERT(offsetof(struct nlcall_call, arg_kinds) == 64);
__NLCALL_ASSERT(offsetof(struct nlcall_call, reserved) == 68);
__NLCALL_ASSERT(offsetof(struct nlcall_call, timeout_ns) == 72);
__NLCALL_ASSERT(sizeof(struct nlcall_call_result) == 32);
__NLCALL_ASSERT(offsetof(struct nlcall_call_result, user_data) == 0);
__NLCALL_ASSERT(offsetof(struct nlcall_call_result, ret) == 8);
__NLCALL_ASSERT(offsetof(struct nlcall_call_result, outcome) == 16);
__NLCALL_ASSERT(offsetof(struct nlcall_call_result, restart) == 18);
__NLCALL_ASSERT(offsetof(struct nlcall_call_result, data_off) == 20);
__NLCALL_ASSERT(offsetof(struct nlcall_call_result, data_len) == 24);
__NLCALL_ASSERT(offsetof(struct nlcall_call_result, reserved) == 28);
__NLCALL_ASSERT(sizeof(struct nlcall_results_header) == 16);
__NLCALL_ASSERT(offsetof(struct nlcall_results_header, done) == 0);
__NLCALL_ASSERT(offsetof(struct nlcall_results_header, capacity) == 4);
__NLCALL_ASSERT(offsetof(struct nlcall_results_header, reserved) == 8);
__NLCALL_ASSERT(sizeof(struct nlcall_latency) == 120);
__NLCALL_ASSERT(offsetof(struct nlcall_latency, nr) == 0);
__NLCALL_ASSERT(offsetof(struct nlcall_latency, reserved) == 4);
__NLCALL_ASSERT(offsetof(struct nlcall_latency, count) == 8);
__NLCALL_ASSERT(offsetof(struct nlcall_latency, total_ns) == 16);
__NLCALL_ASSERT(offsetof(struct nlcall_latency, buckets) == 24);
__NLCALL_ASSERT(sizeof(struct nlcall_reloc) == 8);
__NLCALL_ASSERT(offsetof(struct nlcall_reloc, at) == 0);
__NLCALL_ASSERT(offsetof(struct nlcall_reloc, to) == 4);
__NLCALL_ASSERT(sizeof(struct nlcall_readi) == 24);
__NLCALL_ASSERT(offsetof(struct nlcall_readi, pid) == 0);
__NLCALL_ASSERT(offsetof(struct nlcall_readi, fd) == 4);
__NLCALL_ASSERT(offsetof(struct nlcall_readi, ptr) == 8);
__NLCALL_ASSERT(offsetof(struct nlcall_readi, count) == 16);
__NLCALL_ASSERT(offsetof(struct nlcall_readi, padding) == 20);
#endif
#undef __NLCALL_ASSERT

#endif /* _NLCALL_H */
