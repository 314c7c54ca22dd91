// SPDX-License-Identifier: GPL-2.0-only

//! What Linux 7.2 lacks of what the module is written for.
//!
//! The module is written for the newest kernel; there, `compat` is another name of the crate
//! `kernel` (`nlcall_main.rs`). Here each name has the path that it has in that crate, means the
//! same, and is built from what Linux 7.2 has. To drop Linux 7.2 is to delete this file and
//! `compat.c`, to write `kernel` where the others say `crate::compat`, and to take out what
//! `compat.h` names. `docs/decisions/0023-older-kernels.md` says why it is so.

/// What bindgen makes of `include/net/genetlink.h` and `include/net/netlink.h`, which Linux 7.2 has
/// like 7.3, but does not give to bindgen.
pub mod bindings {
    #![expect(missing_docs, reason = "fields and functions are the kernel's")]

    // What is below takes the place of what is there: of `nla_policy`, nothing.
    pub use kernel::bindings::*;

    use core::ffi::c_void;

    use kernel::{
        ffi::{
            c_char,
            c_int,
            c_uint, //
        },
        prelude::Zeroable, //
    };

    /// Asserts sizes of structures, and places of fields. `compat.c` asserts the same of the
    /// kernel's.
    macro_rules! layout {
        ($($name:ident: $size:literal { $($field:ident: $at:literal),* $(,)? })*) => {
            const _: () = {
                $(
                    assert!(size_of::<$name>() == $size);
                    $(assert!(core::mem::offset_of!($name, $field) == $at);)*
                )*
            };
        };
    }

    layout! {
        genlmsghdr: 4 { cmd: 0, version: 1, reserved: 2 }
        genl_multicast_group: 17 { name: 0, flags: 16 }
        nla_policy: 16 { type_: 0, validation_type: 1, len: 2, of_type: 8 }
        genl_ops: 48 {
            doit: 0, start: 8, dumpit: 16, done: 24, policy: 32, maxattr: 40, cmd: 44,
            internal_flags: 45, flags: 46, validate: 47,
        }
        genl_split_ops__bindgen_ty_1__bindgen_ty_1: 24 { pre_doit: 0, doit: 8, post_doit: 16 }
        genl_split_ops__bindgen_ty_1__bindgen_ty_2: 24 { start: 0, dumpit: 8, done: 16 }
        genl_split_ops: 40 {
            __bindgen_anon_1: 0, policy: 24, maxattr: 32, cmd: 36, internal_flags: 37, flags: 38,
            validate: 39,
        }
        genl_info: 104 {
            snd_seq: 0, snd_portid: 4, family: 8, nlhdr: 16, genlhdr: 24, attrs: 32, _net: 40,
            ctx: 48, extack: 96,
        }
        genl_dumpit_info: 144 { op: 0, info: 40 }
        genl_family: 160 {
            hdrsize: 0, name: 4, version: 20, maxattr: 24, _bitfield_1: 28, n_ops: 29,
            n_small_ops: 30, n_split_ops: 31, n_mcgrps: 32, resv_start_op: 33, policy: 40,
            pre_doit: 48, post_doit: 56, bind: 64, unbind: 72, ops: 80, small_ops: 88,
            split_ops: 96, mcgrps: 104, module: 112, sock_priv_size: 120, sock_priv_init: 128,
            sock_priv_destroy: 136, id: 144, mcgrp_offset: 148, sock_privs: 152,
        }
    }

    type Do = unsafe extern "C" fn(*mut sk_buff, *mut genl_info) -> c_int;
    type Before =
        unsafe extern "C" fn(*const genl_split_ops, *mut sk_buff, *mut genl_info) -> c_int;
    type After = unsafe extern "C" fn(*const genl_split_ops, *mut sk_buff, *mut genl_info);
    type Dump = unsafe extern "C" fn(*mut sk_buff, *mut netlink_callback) -> c_int;
    type AroundDump = unsafe extern "C" fn(*mut netlink_callback) -> c_int;

    /// `struct genlmsghdr`.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub struct genlmsghdr {
        pub cmd: u8,
        pub version: u8,
        pub reserved: u16,
    }

    /// `possible_net_t`, with `CONFIG_NET_NS`.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub struct possible_net_t {
        pub net: *mut net,
    }

    /// `struct genl_multicast_group`.
    #[repr(C)]
    pub struct genl_multicast_group {
        pub name: [c_char; 16],
        pub flags: u8,
    }

    /// `struct nla_policy`.
    #[derive(Clone, Copy, Zeroable)]
    #[repr(C)]
    pub struct nla_policy {
        pub type_: u8,
        pub validation_type: u8,
        pub len: u16,
        /// A union of numbers and pointers, all of which may be 0.
        of_type: u64,
    }

    /// `struct genl_ops`.
    #[derive(Zeroable)]
    #[repr(C)]
    pub struct genl_ops {
        pub doit: Option<Do>,
        pub start: Option<AroundDump>,
        pub dumpit: Option<Dump>,
        pub done: Option<AroundDump>,
        pub policy: *const nla_policy,
        pub maxattr: c_uint,
        pub cmd: u8,
        pub internal_flags: u8,
        pub flags: u8,
        pub validate: u8,
    }

    /// The functions of a `struct genl_split_ops` for a `do`.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub struct genl_split_ops__bindgen_ty_1__bindgen_ty_1 {
        pub pre_doit: Option<Before>,
        pub doit: Option<Do>,
        pub post_doit: Option<After>,
    }

    /// The functions of a `struct genl_split_ops` for a dump.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub struct genl_split_ops__bindgen_ty_1__bindgen_ty_2 {
        pub start: Option<AroundDump>,
        pub dumpit: Option<Dump>,
        pub done: Option<AroundDump>,
    }

    /// The functions of a `struct genl_split_ops`.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub union genl_split_ops__bindgen_ty_1 {
        pub __bindgen_anon_1: genl_split_ops__bindgen_ty_1__bindgen_ty_1,
        pub __bindgen_anon_2: genl_split_ops__bindgen_ty_1__bindgen_ty_2,
    }

    /// `struct genl_split_ops`.
    #[derive(Clone, Copy)]
    #[repr(C)]
    pub struct genl_split_ops {
        pub __bindgen_anon_1: genl_split_ops__bindgen_ty_1,
        pub policy: *const nla_policy,
        pub maxattr: c_uint,
        pub cmd: u8,
        pub internal_flags: u8,
        pub flags: u8,
        pub validate: u8,
    }

    /// `struct genl_info`.
    #[repr(C)]
    pub struct genl_info {
        pub snd_seq: u32,
        pub snd_portid: u32,
        pub family: *const genl_family,
        pub nlhdr: *const nlmsghdr,
        pub genlhdr: *mut genlmsghdr,
        pub attrs: *mut *mut nlattr,
        pub _net: possible_net_t,
        ctx: [usize; 6],
        pub extack: *mut netlink_ext_ack,
    }

    /// `struct genl_dumpit_info`.
    #[repr(C)]
    pub struct genl_dumpit_info {
        op: genl_split_ops,
        pub info: genl_info,
    }

    /// `struct genl_family`.
    #[derive(Zeroable)]
    #[repr(C)]
    pub struct genl_family {
        pub hdrsize: c_uint,
        pub name: [c_char; 16],
        pub version: c_uint,
        pub maxattr: c_uint,
        /// From the lowest bit on: `netnsok`, `parallel_ops`.
        pub _bitfield_1: __BindgenBitfieldUnit<[u8; 1]>,
        pub n_ops: u8,
        pub n_small_ops: u8,
        pub n_split_ops: u8,
        pub n_mcgrps: u8,
        pub resv_start_op: u8,
        pub policy: *const nla_policy,
        pub pre_doit: Option<Before>,
        pub post_doit: Option<After>,
        pub bind: Option<unsafe extern "C" fn(c_int) -> c_int>,
        pub unbind: Option<unsafe extern "C" fn(c_int)>,
        pub ops: *const genl_ops,
        /// `const struct genl_small_ops *`, of which there are none.
        pub small_ops: *const c_void,
        pub split_ops: *const genl_split_ops,
        pub mcgrps: *const genl_multicast_group,
        pub module: *mut module,
        pub sock_priv_size: usize,
        pub sock_priv_init: Option<unsafe extern "C" fn(*mut c_void)>,
        pub sock_priv_destroy: Option<unsafe extern "C" fn(*mut c_void)>,
        pub id: c_int,
        pub mcgrp_offset: c_uint,
        pub sock_privs: *mut xarray,
    }

    // `compat.c` asserts each of these numbers.
    pub const GENL_CMD_CAP_DO: u32 = 2;
    pub const GENL_CMD_CAP_DUMP: u32 = 4;
    pub const NLA_U32: u32 = 3;
    pub const NLA_U64: u32 = 4;
    pub const NLA_FLAG: u32 = 6;
    pub const NLA_NUL_STRING: u32 = 10;
    pub const NLA_S32: u32 = 14;
    /// A page without what the kernel keeps behind the data of a buffer, in whole cache lines, and
    /// without the two headers of a message.
    pub const GENLMSG_DEFAULT_SIZE: usize =
        PAGE_SIZE - size_of::<skb_shared_info>().next_multiple_of(64) - 16 - 4;

    // `compat.c` asserts the prototype of each. It has those whose names begin with `nlcall_`: they
    // are inline functions.
    #[expect(
        improper_ctypes,
        reason = "bindgen's empty structures, which only pointers lead to"
    )]
    extern "C" {
        pub fn genl_register_family(family: *mut genl_family) -> c_int;
        pub fn genl_unregister_family(family: *const genl_family) -> c_int;
        pub fn genlmsg_put(
            skb: *mut sk_buff,
            portid: u32,
            seq: u32,
            family: *const genl_family,
            flags: c_int,
            cmd: u8,
        ) -> *mut c_void;
        pub fn nla_reserve(skb: *mut sk_buff, kind: c_int, len: c_int) -> *mut nlattr;
        pub fn nla_put(skb: *mut sk_buff, kind: c_int, len: c_int, data: *const c_void) -> c_int;
        pub fn nla_put_64bit(
            skb: *mut sk_buff,
            kind: c_int,
            len: c_int,
            data: *const c_void,
            pad: c_int,
        ) -> c_int;
        #[link_name = "nlcall_genlmsg_new"]
        pub fn genlmsg_new(payload: usize, flags: gfp_t) -> *mut sk_buff;
        #[link_name = "nlcall_genlmsg_end"]
        pub fn genlmsg_end(skb: *mut sk_buff, header: *mut c_void);
        #[link_name = "nlcall_genlmsg_cancel"]
        pub fn genlmsg_cancel(skb: *mut sk_buff, header: *mut c_void);
        #[link_name = "nlcall_nlmsg_free"]
        pub fn nlmsg_free(skb: *mut sk_buff);
        #[link_name = "nlcall_spin_lock_irqsave"]
        pub(super) fn spin_lock_irqsave(lock: *mut spinlock_t) -> usize;
        #[link_name = "nlcall_spin_trylock_irqsave"]
        pub(super) fn spin_trylock_irqsave(lock: *mut spinlock_t, flags: *mut usize) -> bool;
        #[link_name = "nlcall_spin_unlock_irqrestore"]
        pub(super) fn spin_unlock_irqrestore(lock: *mut spinlock_t, flags: usize);
    }
}

/// The module itself.
pub mod module {
    use kernel::{
        ModuleMetadata,
        ThisModule, //
    };

    /// The module that `module!` declares: Linux 7.2 has it in a static, and not with its type.
    pub const fn this_module<M: ModuleMetadata>() -> &'static ThisModule {
        &crate::THIS_MODULE
    }
}

/// Locks.
pub mod sync {
    use kernel::sync::lock::{
        Backend,
        Lock, //
    };

    use super::bindings;

    /// A spinlock that is held with the processor's interrupts off.
    pub type SpinLockIrq<T> = Lock<T, SpinLockIrqBackend>;

    /// Locks as `spin_lock_irqsave()` does.
    ///
    /// Linux 7.3 counts on each processor who wants interrupts off. Here each guard restores what
    /// it found, so that of two guards that overlap the later one must go first. The module keeps
    /// to that: there are two kinds of such locks. Sessions' are never held two at a time (they
    /// are of one class, and lockdep would say so); that of the users is taken and released within
    /// a function of `users.rs`, which touches no session's.
    pub struct SpinLockIrqBackend;

    // SAFETY: `spinlock_t` excludes all others until it is unlocked, whatever becomes of
    // interrupts. `relock` is the default one, which calls `lock`.
    unsafe impl Backend for SpinLockIrqBackend {
        type State = bindings::spinlock_t;
        /// The flags of the processor as they were before.
        type GuardState = usize;

        unsafe fn init(
            ptr: *mut Self::State,
            name: *const kernel::ffi::c_char,
            key: *mut bindings::lock_class_key,
        ) {
            // SAFETY: By the caller's promise `ptr` may be written, and name and class live as long.
            unsafe { bindings::__spin_lock_init(ptr, name, key) }
        }

        unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
            // SAFETY: By the caller's promise the lock is initialised.
            unsafe { bindings::spin_lock_irqsave(ptr) }
        }

        unsafe fn unlock(ptr: *mut Self::State, flags: &Self::GuardState) {
            // SAFETY: By the caller's promise it holds the lock, and the flags are those that
            // locking it returned on this processor: who holds it is not moved to another.
            unsafe { bindings::spin_unlock_irqrestore(ptr, *flags) }
        }

        unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
            let mut flags = 0;
            // SAFETY: By the caller's promise the lock is initialised; the flags are ours.
            unsafe { bindings::spin_trylock_irqsave(ptr, &raw mut flags) }.then_some(flags)
        }

        unsafe fn assert_is_held(ptr: *mut Self::State) {
            // SAFETY: By the caller's promise the lock is initialised.
            unsafe { bindings::spin_assert_is_held(ptr) }
        }
    }

    /// A [`SpinLockIrq`] with its class, to be initialised in place.
    macro_rules! new_spinlock_irq {
        ($inner:expr) => {
            $crate::compat::sync::SpinLockIrq::new(
                $inner,
                ::kernel::optional_name!(),
                ::kernel::static_lock_class!(),
            )
        };
    }
    pub(crate) use new_spinlock_irq;

    /// A static [`SpinLockIrq`], as the kernel's macro of this name makes other locks.
    macro_rules! global_lock {
        (unsafe(uninit) static $name:ident: SpinLockIrq<$item:ty> = $value:expr;) => {
            enum $name {}

            impl ::kernel::sync::GlobalLockBackend for $name {
                const NAME: &'static ::kernel::str::CStr =
                    ::kernel::c_str!(::core::stringify!($name));
                type Item = $item;
                type Backend = $crate::compat::sync::SpinLockIrqBackend;

                fn get_lock_class() -> ::core::pin::Pin<&'static ::kernel::sync::LockClassKey> {
                    ::kernel::static_lock_class!()
                }
            }

            static $name: ::kernel::sync::GlobalLock<$name> = {
                let value: $item = $value;
                // SAFETY: Who calls this macro initialises the lock before anything else, and the
                // type is this lock's alone.
                unsafe { ::kernel::sync::GlobalLock::new(value) }
            };
        };
    }
    pub(crate) use global_lock;

    /// The kinds of locks.
    pub mod lock {
        /// Those of spinlocks.
        pub mod spinlock {
            pub use super::super::SpinLockIrqBackend;
        }
    }
}

pub(crate) use sync::new_spinlock_irq;
