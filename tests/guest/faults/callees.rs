// SPDX-License-Identifier: MIT OR Apache-2.0

//! Everything that the module calls outside of itself, and what of it may fail.

/// What a function needs that there may be none of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Memory.
    Memory,
    /// That an address of the process's leads to memory, which is copied by the function.
    Copy,
    /// The same, of an instruction of the module's own.
    Access,
}

/// Frees where it is asked for memory of no length.
pub const REALLOC: &[&str] = &[
    "rust_helper_krealloc_node_align",
    "rust_helper_kvrealloc_node_align",
];

/// What allocates, itself or somewhere below. `__SCT__nlcall_*` are static calls of the module.
const MEMORY: &[&str] = &[
    "__kmalloc_cache_noprof",
    "__netlink_kernel_create",
    "__xa_cmpxchg",
    "alloc_workqueue_noprof",
    "genl_register_family",
    "netlink_ack",
    "netlink_broadcast_filtered",
    // Makes a copy of a buffer that is much longer than what it holds.
    "netlink_unicast",
    "prepare_creds",
    "register_kprobe",
    "rust_helper_genlmsg_new",
    "rust_helper_krealloc_node_align",
    "rust_helper_kvrealloc_node_align",
    "tracepoint_probe_register",
    "vhost_task_create",
    "vm_munmap",
    "__SCT__nlcall_audit_alloc",
    // The calls themselves.
    "__SCT__nlcall_switch",
];

/// What copies from or to the memory of a process.
const COPY: &[&str] = &["_copy_from_user", "_copy_to_user"];

/// What needs nothing that it could be refused for want of memory; a name that ends with `*` stands
/// for all that begin so.
const HARMLESS: &[&str] = &[
    // Of the compilers and the checkers.
    "_RN*",
    "__asan_*",
    "__kasan_*",
    "__might_*",
    "__rcu_*",
    "__srcu_check_read_flavor",
    "__trace_set_current_state",
    "bcmp",
    "debug_*",
    "fs_reclaim_*",
    "lock_acquire",
    "lock_release",
    "lockdep_rcu_suspicious",
    "preempt_count_*",
    "rcu_is_watching",
    "refcount_warn_saturate",
    "__static_call_return0",
    "__SCT__WARN_trap",
    "__SCT__*_resched",
    "__SCT__preempt_schedule*",
    // Locks, counters, lists, text, time.
    "_raw_spin_*",
    "mutex_unlock",
    "up_read",
    "down_read_trylock",
    "rb_*",
    "rust_helper_REFCOUNT_INIT",
    "rust_helper___mutex_init",
    "rust_helper___spin_lock_init",
    "rust_helper_atomic*",
    "rust_helper_mutex_*",
    "rust_helper_rb_link_node",
    "rust_helper_rcu_*",
    "rust_helper_refcount_*",
    "rust_helper_spin_*",
    "rust_helper_init_work_with_key",
    "rust_helper_xa_init_flags",
    "rust_helper_ktime_get_real",
    "rust_helper_get_current",
    "rust_helper_signal_pending",
    "__msecs_to_jiffies",
    "ktime_get",
    "snprintf",
    "sprint_symbol",
    "sscanf",
    "strchr",
    "strcmp",
    "strlen",
    "_printk",
    "net_ratelimit",
    // References, taken and given back.
    "abort_creds",
    "commit_creds",
    "consume_skb",
    "find_get_pid",
    "get_task_cred",
    "kfree",
    "mmput_async",
    "module_put",
    "pid_task",
    "pid_vnr",
    "put_pid",
    "rust_helper_get_cred",
    "rust_helper_get_task_struct",
    "rust_helper_mmdrop",
    "rust_helper_mmgrab",
    "rust_helper_nlmsg_free",
    "rust_helper_put_cred",
    "rust_helper_put_task_struct",
    "sk_free",
    "try_module_get",
    "xa_destroy",
    "xa_load",
    // Stores nothing in place of something, for which there is room.
    "xa_erase",
    "__SCT__nlcall_pid_of_pidfd",
    "__SCT__nlcall_put",
    // Questions of rights.
    "capable",
    "file_ns_capable",
    "in_egroup_p",
    "netlink_capable",
    "__SCT__nlcall_may_ptrace",
    // What is queued or woken brings its memory.
    "call_rcu",
    "hrtimer_*",
    "destroy_hrtimer_on_stack",
    "irq_work_*",
    "kick_process",
    "mod_delayed_work_on",
    "queue_delayed_work_on",
    "queue_work_on",
    "delayed_work_timer_fn",
    "task_work_add",
    "timer_init_key",
    "vhost_task_start",
    "vhost_task_stop",
    "vhost_task_wake",
    "schedule_timeout_killable",
    "preempt_notifier_*",
    "synchronize_*",
    "kthread_use_mm",
    "kthread_unuse_mm",
    "__SCT__nlcall_wake",
    "__SCT__nlcall_zap",
    // Of a signal that says nothing but its number, the number comes without memory.
    "kill_pid",
    "dequeue_signal",
    "sigprocmask",
    // What a call or a return from one does of itself, as for a plain system call.
    "__SCT__nlcall_audit_entry",
    "__SCT__nlcall_audit_exit",
    "__SCT__nlcall_audit_free",
    "__SCT__nlcall_permit",
    "__SCT__nlcall_work",
    // Fills a buffer that is there, and says where it is too short.
    "__nlmsg_put",
    "genlmsg_put",
    "nla_put",
    "nla_put_64bit",
    "nla_reserve",
    "rust_helper_genlmsg_cancel",
    "rust_helper_genlmsg_end",
    "do_trace_netlink_extack",
    // Puts a buffer that is there into a queue.
    "__SCT__nlcall_attach",
    "__SCT__nlcall_send",
    // Tracing, which has its own buffers and loses what they do not hold.
    "__SCT__tp_func_nlcall_*",
    "__trace_trigger_soft_disabled",
    "bpf_trace_run*",
    "perf_trace_*",
    "trace_*",
    "for_each_kernel_tracepoint",
    // Only when the module comes or goes: patches code, or undoes what was done.
    "__static_call_update",
    "destroy_workqueue",
    "genl_unregister_family",
    "kernel_param_lock",
    "kernel_param_unlock",
    "netlink_kernel_release",
    // A function of a tracepoint that cannot be taken out for want of memory is replaced by none.
    "tracepoint_probe_unregister",
    "unregister_kprobe",
    // Reads of memory that need not be there, in which nothing is refused on purpose.
    "__get_user_*",
    "copy_from_user_nofault",
];

/// What a function that the module calls needs: nothing, or this. An error where nobody has said
/// so yet.
pub fn need(name: &str) -> Result<Option<Need>, ()> {
    let is_among = |names: &[&str]| names.iter().any(|pattern| matches(pattern, name));
    if is_among(MEMORY) {
        Ok(Some(Need::Memory))
    } else if is_among(COPY) {
        Ok(Some(Need::Copy))
    } else if is_among(HARMLESS) {
        Ok(None)
    } else {
        Err(())
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            let rest = name.strip_prefix(start);
            rest.is_some_and(|rest| rest.ends_with(end))
        }
    }
}
