// SPDX-License-Identifier: GPL-2.0-only

//! The commands of the generic-netlink family.
//!
//! A handler checks, queues and answers; it never waits. Attributes were validated against the
//! policies below before it is called.

use kernel::{
    error::to_result,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};
use zerocopy::IntoBytes;

use crate::{
    calls::Which,
    compat::bindings,
    config, listeners,
    message::{
        Body,
        Message,
        ATTR_HEADER,
        GENERIC_HEADER, //
    },
    parse::{
        self,
        Submit, //
    },
    policy, registry,
    reject::{
        reject,
        Rejection, //
    },
    sender,
    session::{
        End,
        Session, //
    },
    settings::{
        self,
        Changes,
        SETTINGS, //
    },
    shim,
    socket::{
        self,
        Binding,
        Bindings, //
    },
    submission::Submission,
    target::Target,
    text::Text,
    trace,
    wire::{
        cancel,
        config as attr,
        features,
        session,
        syscall,
        trace as event,
        Call,
        CallResult,
        Command,
        FrontEnd,
        FAMILY_NAME,
        FAMILY_VERSION,
        MAX_COMPLETE_LEN,
        TRACE_GROUP, //
    },
};

/// `NLM_F_MULTI`.
const MULTI: u32 = 2;

/// `struct genl_family`: filled in at build time, changed by generic netlink alone.
#[repr(transparent)]
struct Family(Opaque<bindings::genl_family>);

// SAFETY: Generic netlink does its own locking; the module only reads what is constant while the
// family is registered.
unsafe impl Sync for Family {}

static FAMILY: Family = Family(Opaque::new(bindings::genl_family {
    name: name(FAMILY_NAME),
    version: FAMILY_VERSION as u32,
    // So that SUBMIT needs no policy to have attributes. Generic netlink then leaves its headers
    // alone too: `check_headers()` looks at them.
    resv_start_op: Command::Submit as u8 + 1,
    ops: &raw const SUBMIT.0,
    n_ops: 1,
    // SAFETY: The bit field is one byte: `netnsok` is its lowest bit, `parallel_ops` the next.
    _bitfield_1: unsafe {
        core::mem::transmute::<u8, bindings::__BindgenBitfieldUnit<[u8; 1]>>(0b11)
    },
    module: crate::this_module(),
    split_ops: (&raw const OPERATIONS.0).cast(),
    n_split_ops: OPERATIONS.0.len() as u8,
    mcgrps: (&raw const GROUPS.0).cast(),
    n_mcgrps: GROUPS.0.len() as u8,
    sock_priv_size: size_of::<Binding>(),
    sock_priv_destroy: Some(released),
    ..pin_init::zeroed()
}));

/// A name, as generic netlink takes it.
const fn name(text: &str) -> [kernel::ffi::c_char; 16] {
    let mut name = [0; 16];
    let mut i = 0;
    while i < text.len() {
        name[i] = text.as_bytes()[i] as kernel::ffi::c_char;
        i += 1;
    }
    name
}

/// The family, as generic netlink takes it.
pub fn raw() -> *mut bindings::genl_family {
    FAMILY.0.get()
}

/// The sessions of the family's sockets.
pub fn bindings() -> Bindings {
    // SAFETY: Generic netlink makes the array when the family is registered, and frees it after
    // the last handler has returned.
    unsafe { Bindings::new((*raw()).sock_privs) }
}

/// A socket was released: under `cb_lock`, in any process, a worker's own exit included.
///
/// # Safety
///
/// Called by generic netlink, which frees the memory afterwards.
unsafe extern "C" fn released(binding: *mut core::ffi::c_void) {
    // SAFETY: By the caller's promise this is the binding of a socket that nobody uses any more.
    let session = unsafe { (*binding.cast::<Binding>()).take::<Arc<Session>>() };
    session.end(End::Socket);
}

/// Attribute policies of all commands but SUBMIT. Generic netlink validates strictly: attributes that
/// are not here, trailing bytes and wrong lengths are rejected before a handler is called.
struct Policy<const N: usize>([bindings::nla_policy; N]);

// SAFETY: Constant; the pointers in it are null.
unsafe impl<const N: usize> Sync for Policy<N> {}

impl<const N: usize> Policy<N> {
    const fn new(attributes: &[(u16, u32)]) -> Self {
        let mut policy = [const { pin_init::zeroed::<bindings::nla_policy>() }; N];
        let mut i = 0;
        while i < attributes.len() {
            policy[attributes[i].0 as usize].type_ = attributes[i].1 as u8;
            i += 1;
        }
        Self(policy)
    }
}

static CANCEL_POLICY: Policy<{ cancel::ALL as usize + 1 }> = Policy::new(&[
    (cancel::USER_DATA, bindings::NLA_U64),
    (cancel::FD, bindings::NLA_S32),
    (cancel::NR, bindings::NLA_U32),
    (cancel::ALL, bindings::NLA_FLAG),
]);

static CONFIG_POLICY: Policy<{ attr::MAX as usize + 1 }> = {
    let mut attributes = [(attr::ACCESS, bindings::NLA_NUL_STRING); settings::COUNT + 1];
    let mut i = 0;
    while i < settings::COUNT {
        attributes[i] = (SETTINGS[i].attr, bindings::NLA_U32);
        i += 1;
    }
    Policy::new(&attributes)
};

static SESSION_POLICY: Policy<{ session::OWN as usize + 1 }> =
    Policy::new(&[(session::OWN, bindings::NLA_FLAG)]);

struct Groups([bindings::genl_multicast_group; 1]);

// SAFETY: Constant.
unsafe impl Sync for Groups {}

/// The multicast groups. Generic netlink's own check is the first of several: see `listeners.rs`.
static GROUPS: Groups = Groups([bindings::genl_multicast_group {
    name: name(TRACE_GROUP),
    // `GENL_MCAST_CAP_SYS_ADMIN`.
    flags: 1 << 1,
}]);

type Do = unsafe extern "C" fn(*mut bindings::sk_buff, *mut bindings::genl_info) -> i32;
type DumpIt = unsafe extern "C" fn(*mut bindings::sk_buff, *mut bindings::netlink_callback) -> i32;

const fn operation<const N: usize>(
    command: Command,
    kind: u32,
    policy: Option<&'static Policy<N>>,
    handlers: bindings::genl_split_ops__bindgen_ty_1,
) -> bindings::genl_split_ops {
    bindings::genl_split_ops {
        __bindgen_anon_1: handlers,
        policy: match policy {
            Some(policy) => (&raw const policy.0).cast(),
            None => core::ptr::null(),
        },
        maxattr: if policy.is_some() { N as u32 - 1 } else { 0 },
        cmd: command as u8,
        flags: kind as u8,
        internal_flags: 0,
        validate: 0,
    }
}

const fn on_do<const N: usize>(
    command: Command,
    policy: Option<&'static Policy<N>>,
    handler: Do,
) -> bindings::genl_split_ops {
    let handlers = bindings::genl_split_ops__bindgen_ty_1__bindgen_ty_1 {
        pre_doit: Some(before_do),
        doit: Some(handler),
        post_doit: None,
    };
    operation(
        command,
        bindings::GENL_CMD_CAP_DO,
        policy,
        bindings::genl_split_ops__bindgen_ty_1 {
            __bindgen_anon_1: handlers,
        },
    )
}

const fn on_dump<const N: usize>(
    command: Command,
    policy: Option<&'static Policy<N>>,
    handler: DumpIt,
) -> bindings::genl_split_ops {
    let handlers = bindings::genl_split_ops__bindgen_ty_1__bindgen_ty_2 {
        start: Some(before_dump),
        dumpit: Some(handler),
        done: None,
    };
    operation(
        command,
        bindings::GENL_CMD_CAP_DUMP,
        policy,
        bindings::genl_split_ops__bindgen_ty_1 {
            __bindgen_anon_2: handlers,
        },
    )
}

struct Operations([bindings::genl_split_ops; 7]);

// SAFETY: Constant; the pointers lead to statics that are constant.
unsafe impl Sync for Operations {}

/// SUBMIT, in the older form of an operation: the only one that works without a policy. `parse.rs`
/// is at least as strict, and what generic netlink does for a policy costs as much as several calls
/// (docs/decisions/0006-inline.md).
struct OlderOperation(bindings::genl_ops);

// SAFETY: Constant.
unsafe impl Sync for OlderOperation {}

static SUBMIT: OlderOperation = OlderOperation(bindings::genl_ops {
    doit: Some(do_submit),
    cmd: Command::Submit as u8,
    ..pin_init::zeroed()
});

/// The other operations, ordered by command, as generic netlink demands.
static OPERATIONS: Operations = Operations([
    on_do(Command::Cancel, Some(&CANCEL_POLICY), do_cancel),
    on_do::<0>(Command::FeaturesGet, None, do_features_get),
    on_dump(Command::SessionGet, Some(&SESSION_POLICY), dump_sessions),
    on_dump::<0>(Command::SyscallGet, None, dump_syscalls),
    on_do::<0>(Command::ConfigGet, None, do_config_get),
    on_do(Command::ConfigSet, Some(&CONFIG_POLICY), do_config_set),
    on_do::<0>(Command::TraceStart, None, do_trace_start),
]);

/// The registered family.
pub struct Registration(());

impl Registration {
    /// Registers the family.
    pub fn new() -> Result<Self> {
        // SAFETY: The family is a static of the module, complete, registered once.
        to_result(unsafe { bindings::genl_register_family(raw()) })?;
        Ok(Self(()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: `new()` registered it. Returns when no handler is running.
        unsafe { bindings::genl_unregister_family(raw()) };
    }
}

/// A `do` request while its handler runs.
///
/// # Invariants
///
/// Both pointers are those that genetlink gave to the handler that is running.
struct Request {
    skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
}

impl Request {
    /// Where the attributes are, from the first to the end of the message, and their length.
    fn place(&self) -> (*mut u8, usize) {
        // SAFETY: By the type invariant. genetlink checked that the message holds its headers and
        // that its length lies within the buffer.
        unsafe {
            let header = (*self.info).nlhdr;
            let len = ((*header).nlmsg_len as usize).saturating_sub(GENERIC_HEADER);
            (header.cast::<u8>().add(GENERIC_HEADER).cast_mut(), len)
        }
    }

    /// The attributes.
    fn attrs(&self) -> &[u8] {
        let (at, len) = self.place();
        // SAFETY: As above; nobody writes there while the handler runs.
        unsafe { core::slice::from_raw_parts(at, len) }
    }

    /// The payload of an attribute; `N` is the size that the policy demanded.
    fn get<const N: usize>(&self, kind: u16) -> Option<[u8; N]> {
        // SAFETY: By the type invariant: `attrs` has a place for each attribute of the policy, and
        // an attribute that is there has at least the size that the policy demands.
        unsafe {
            let attr = *(*self.info).attrs.add(usize::from(kind));
            if attr.is_null() {
                return None;
            }
            Some(attr.cast::<u8>().add(ATTR_HEADER).cast::<[u8; N]>().read())
        }
    }

    /// The text of an attribute; the policy demanded that it ends with a NUL.
    fn get_str(&self, kind: u16) -> Option<&str> {
        // SAFETY: By the type invariant, as in `get()`. The policy saw a NUL within the attribute.
        let text = unsafe {
            let attr = *(*self.info).attrs.add(usize::from(kind));
            if attr.is_null() {
                return None;
            }
            CStr::from_char_ptr(attr.cast::<u8>().add(ATTR_HEADER).cast())
        };
        Some(text.to_str().unwrap_or("?"))
    }

    /// Where an attribute that is there begins, counted from the first.
    fn offset(&self, kind: u16) -> usize {
        // SAFETY: By the type invariant.
        let attr = unsafe { *(*self.info).attrs.add(usize::from(kind)) };
        attr as usize - self.attrs().as_ptr() as usize
    }

    /// Whether the sender and the opener of its socket have `CAP_SYS_ADMIN` in the initial user
    /// namespace.
    fn is_admin(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::netlink_capable(self.skb, sender::CAP_SYS_ADMIN) }
    }

    /// Whether the socket is in the initial network namespace.
    fn is_in_initial_net(&self) -> bool {
        // SAFETY: By the type invariant.
        let net = unsafe { (*self.info)._net.net };
        core::ptr::eq(net, &raw const bindings::init_net)
    }

    fn seq(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { (*self.info).snd_seq }
    }

    /// Number of the command.
    fn command(&self) -> u8 {
        // SAFETY: By the type invariant.
        unsafe { (*(*self.info).genlhdr).cmd }
    }

    fn portid(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { (*self.info).snd_portid }
    }

    fn session(&self) -> Option<Arc<Session>> {
        // SAFETY: By the type invariant.
        unsafe { Session::bound(self.skb, FrontEnd::Generic) }
    }

    fn begin_session(&self) -> Result<Arc<Session>, Rejection> {
        // SAFETY: By the type invariant.
        unsafe { Session::begin(self.skb, FrontEnd::Generic) }
    }

    /// Sends one message back.
    fn reply(&self, command: Command, fill: impl FnOnce(&mut Body<'_>) -> Result) -> Result {
        let mut message = Message::new(bindings::GENLMSG_DEFAULT_SIZE)?;
        let mut body = message.begin(self.portid(), self.seq(), 0, command)?;
        fill(&mut body)?;
        body.end();
        // SAFETY: By the type invariant; the message is handed over.
        to_result(unsafe { shim::ffi::nlcall_reply(message.into_raw(), self.info) })
    }

    /// Writes a rejection into the acknowledgement and returns its errno.
    fn rejected(&self, rejection: &Rejection) -> i32 {
        if trace::is_on() {
            trace::rejected(self.session().as_deref(), self.command(), rejection);
        }
        let attr = match rejection.at {
            Some(at) => self.attrs()[at..].as_ptr().cast(),
            None => core::ptr::null(),
        };
        // SAFETY: By the type invariant.
        unsafe { extack((*self.info).extack, attr, rejection) }
    }
}

/// Writes a rejection into an extended acknowledgement and returns its negative errno.
///
/// # Safety
///
/// `extack` is null or that of the request being handled, `attr` null or in its message.
pub unsafe fn extack(
    extack: *mut bindings::netlink_ext_ack,
    attr: *const bindings::nlattr,
    rejection: &Rejection,
) -> i32 {
    let text = rejection.text.as_str();
    // SAFETY: By the caller's promise; the text is copied.
    unsafe { shim::ffi::nlcall_extack(extack, attr, text.as_ptr(), text.len() as i32) };
    -rejection.errno
}

fn check_version(version: u8) -> Result<(), Rejection> {
    if version == FAMILY_VERSION {
        return Ok(());
    }
    Err(reject!(
        EINVAL,
        "version {version} of the family is not version {FAMILY_VERSION}"
    ))
}

/// Before every `do`.
///
/// # Safety
///
/// Called by genetlink.
unsafe extern "C" fn before_do(
    _ops: *const bindings::genl_split_ops,
    skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> i32 {
    // INVARIANT: Called by genetlink with these.
    let request = Request { skb, info };
    // SAFETY: `info` is valid while the handler runs.
    match check_version(unsafe { (*(*info).genlhdr).version }) {
        Ok(()) => 0,
        Err(rejection) => request.rejected(&rejection),
    }
}

/// Before every dump.
///
/// # Safety
///
/// Called by genetlink.
unsafe extern "C" fn before_dump(cb: *mut bindings::netlink_callback) -> i32 {
    // SAFETY: `cb` and its request are valid while the handler runs.
    unsafe {
        let info = dump_info(cb);
        let ctx = context(cb);
        // Asked once, of the sender and of the opener: whoever reads the dump later may be
        // somebody else.
        (*ctx).all = bindings::netlink_capable((*cb).skb, sender::CAP_SYS_ADMIN);
        // One session with all its latencies.
        (*cb).min_dump_alloc = MAX_COMPLETE_LEN as u32;
        match check_version((*(*info).genlhdr).version) {
            Ok(()) => 0,
            Err(rejection) => extack((*cb).extack, core::ptr::null(), &rejection),
        }
    }
}

/// What a dump keeps between its parts.
#[repr(C)]
struct Context {
    /// Where it goes on.
    position: u64,
    /// Whether everything may be shown.
    all: bool,
}

/// The memory of a dump, cleared at its beginning.
///
/// # Safety
///
/// `cb` is that of a dump's handler that is running.
unsafe fn context(cb: *mut bindings::netlink_callback) -> *mut Context {
    const { assert!(size_of::<Context>() <= 48) };
    // SAFETY: By the caller's promise; `ctx` is the dump's own, large enough, and aligned for
    // pointers.
    unsafe { (&raw mut (*cb).__bindgen_anon_1.ctx).cast() }
}

/// SUBMIT.
///
/// # Safety
///
/// Called by genetlink.
unsafe extern "C" fn do_submit(skb: *mut bindings::sk_buff, info: *mut bindings::genl_info) -> i32 {
    // INVARIANT: Called by genetlink with these.
    let request = Request { skb, info };
    match submit(&request) {
        Ok(()) => 0,
        Err(rejection) => {
            if let Some(session) = request.session() {
                session.reject(parse::count_named(request.attrs()));
            }
            request.rejected(&rejection)
        }
    }
}

/// What is checked in the headers of the other commands by `before_do()` and by generic netlink
/// (`genl_header_check()`).
fn check_headers(request: &Request) -> Result<(), Rejection> {
    /// `NLM_F_REQUEST`, `NLM_F_ACK` and `NLM_F_ECHO`.
    const FLAGS: u16 = 1 | 4 | 8;
    // SAFETY: By the type invariant.
    let (header, flags) = unsafe {
        let info = request.info;
        (*(*info).genlhdr, (*(*info).nlhdr).nlmsg_flags)
    };
    let reserved = header.reserved;
    check_version(header.version)?;
    if reserved != 0 {
        return Err(reject!(EINVAL, "genlmsghdr.reserved is not zero"));
    }
    if flags & !FLAGS != 0 {
        return Err(reject!(
            EINVAL,
            "nlmsg_flags {flags:#x}: only REQUEST, ACK and ECHO"
        ));
    }
    Ok(())
}

fn submit(request: &Request) -> Result<(), Rejection> {
    check_headers(request)?;
    let sender = sender::check()?;
    let submit = Submit::parse(request.attrs())?;
    sender.may_leave_to_itself(submit.inline())?;
    let session = match request.session() {
        Some(session) => session,
        None => request.begin_session()?,
    };
    if let Some(pidfd) = submit.target() {
        session.may_submit()?;
        let target = Target::of_pidfd(pidfd.fd).map_err(|rejection| rejection.at(pidfd.at))?;
        let there = session.abroad(&target)?;
        there.submit_abroad(&submit, &target, request.seq())?;
        if trace::is_on() {
            trace::submitted(&there, submit.calls());
        }
        return Ok(());
    }
    let message = Submission {
        submit,
        skb: request.skb,
        place: request.place(),
        seq: request.seq(),
    };
    // SAFETY: By the type invariant of the request; the handler returns with the answer.
    unsafe { session.submit_message(&message) }?;
    // Where the sender is exiting, its INLINE calls have used their entries already.
    if trace::is_on() && !sender::is_exiting() {
        trace::submitted(&session, message.submit.calls());
    }
    Ok(())
}

/// CANCEL.
///
/// # Safety
///
/// Called by genetlink.
unsafe extern "C" fn do_cancel(skb: *mut bindings::sk_buff, info: *mut bindings::genl_info) -> i32 {
    // INVARIANT: Called by genetlink with these.
    let request = Request { skb, info };
    let which = match which(&request) {
        Ok(which) => which,
        Err(rejection) => return request.rejected(&rejection),
    };
    let found = match request.session() {
        Some(session) => {
            if let Err(rejection) = session.may_submit() {
                return request.rejected(&rejection);
            }
            session.cancel_everywhere(which)
        }
        None => Default::default(),
    };
    let replied = request.reply(Command::Cancel, |body| {
        body.put_u32(cancel::CANCELED, found.canceled)?;
        body.put_u32(cancel::INTERRUPTED, found.interrupted)
    });
    errno_of(replied)
}

/// Which calls a CANCEL names.
fn which(request: &Request) -> Result<Which, Rejection> {
    Which::named(
        request.get(cancel::USER_DATA).map(u64::from_ne_bytes),
        request.get(cancel::FD).map(i32::from_ne_bytes),
        request.get(cancel::NR).map(u32::from_ne_bytes),
        request.get::<0>(cancel::ALL).is_some(),
    )
}

/// FEATURES_GET.
///
/// # Safety
///
/// Called by genetlink.
unsafe extern "C" fn do_features_get(
    skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> i32 {
    // INVARIANT: Called by genetlink with these.
    let request = Request { skb, info };
    errno_of(request.reply(Command::FeaturesGet, |body| {
        body.put_u32(features::CALL_SIZE, size_of::<Call>() as u32)?;
        body.put_u32(features::RESULT_SIZE, size_of::<CallResult>() as u32)?;
        body.put_u64(
            features::CALL_FLAGS,
            u64::from(parse::CALL_FLAGS),
            features::PAD,
        )?;
        body.put_u32(features::ARG_KINDS, parse::ARG_KINDS)?;
        body.put_u64(features::SUBMIT_ATTRS, parse::SUBMIT_ATTRS, features::PAD)?;
        body.put_u32(features::MAX_IN_FLIGHT, config::max_in_flight())?;
        body.put_u32(features::MAX_WORKERS, config::max_workers())?;
        body.put_str(features::KERNEL, shim::kernel_release())?;
        body.put_u64(features::POLICY_HASH, policy::hash(), features::PAD)?;
        body.put_str(features::MODULE_VERSION, crate::VERSION)
    }))
}

/// CONFIG_GET.
///
/// # Safety
///
/// Called by genetlink.
unsafe extern "C" fn do_config_get(
    skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> i32 {
    // INVARIANT: Called by genetlink with these.
    let request = Request { skb, info };
    errno_of(request.reply(Command::ConfigGet, |body| {
        for (place, setting) in SETTINGS.iter().enumerate() {
            body.put_u32(setting.attr, config::get(place))?;
        }
        body.put_str(
            attr::ACCESS,
            Text::format(format_args!("{}", config::access())).as_str(),
        )
    }))
}

/// CONFIG_SET.
///
/// # Safety
///
/// Called by genetlink.
unsafe extern "C" fn do_config_set(
    skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> i32 {
    // INVARIANT: Called by genetlink with these.
    let request = Request { skb, info };
    match changes(&request) {
        Ok(changes) => {
            config::set(&changes);
            0
        }
        Err(rejection) => request.rejected(&rejection),
    }
}

/// What a CONFIG_SET asks for, each value checked.
fn changes(request: &Request) -> Result<Changes, Rejection> {
    if !request.is_admin() {
        return Err(reject!(
            EPERM,
            "CONFIG_SET needs CAP_SYS_ADMIN in the initial user namespace"
        ));
    }
    Changes::read(
        |kind| request.get(kind).map(u32::from_ne_bytes),
        request.get_str(attr::ACCESS),
    )
    .map_err(|(kind, rejection)| match kind {
        Some(kind) => rejection.at(request.offset(kind)),
        None => rejection,
    })
}

/// TRACE_START.
///
/// # Safety
///
/// Called by genetlink.
unsafe extern "C" fn do_trace_start(
    skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> i32 {
    // INVARIANT: Called by genetlink with these.
    let request = Request { skb, info };
    if let Err(rejection) = may_listen(&request) {
        return request.rejected(&rejection);
    }
    let last = listeners::start();
    errno_of(request.reply(Command::TraceStart, |body| {
        body.put_u64(event::SEQ, last, event::PAD)
    }))
}

fn may_listen(request: &Request) -> Result<(), Rejection> {
    if !request.is_in_initial_net() {
        return Err(reject!(
            EPERM,
            "events are sent in the initial network namespace only"
        ));
    }
    if !request.is_admin() {
        return Err(reject!(
            EPERM,
            "TRACE_START needs CAP_SYS_ADMIN in the initial user namespace"
        ));
    }
    Ok(())
}

fn errno_of(result: Result) -> i32 {
    match result {
        Ok(()) => 0,
        Err(err) => err.to_errno(),
    }
}

/// `genl_info_dump()`: the request that a dump answers.
///
/// # Safety
///
/// `cb` is that of a dump's handler that is running.
unsafe fn dump_info(cb: *mut bindings::netlink_callback) -> *const bindings::genl_info {
    // SAFETY: By the caller's promise; generic netlink keeps the request there.
    unsafe { &raw const (*(*cb).data.cast::<bindings::genl_dumpit_info>()).info }
}

/// A dump while it is being filled in.
///
/// # Invariants
///
/// Both pointers are those that genetlink gave to the handler that is running.
struct Dump {
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
}

impl Dump {
    /// What the dump keeps between its parts.
    fn context(&mut self) -> &mut Context {
        // SAFETY: By the type invariant.
        unsafe { &mut *context(self.cb) }
    }

    /// Adds one message; an error means that the buffer is full.
    fn add(&self, command: Command, fill: impl FnOnce(&mut Body<'_>) -> Result) -> Result {
        // SAFETY: By the type invariant.
        let (portid, seq) =
            unsafe { (socket::portid((*self.cb).skb), (*(*self.cb).nlh).nlmsg_seq) };
        // SAFETY: By the type invariant the buffer is a netlink message being written.
        let mut body = unsafe { Body::begin(self.skb, portid, seq, MULTI, command) }?;
        fill(&mut body)?;
        body.end();
        Ok(())
    }

    /// What the handler returns: more than zero as long as something was added.
    fn len(&self) -> i32 {
        // SAFETY: By the type invariant.
        unsafe { (*self.skb).len as i32 }
    }
}

/// SESSION_GET: the sessions of the asking process, all of them for the host's root.
///
/// # Safety
///
/// Called by genetlink.
unsafe extern "C" fn dump_sessions(
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
) -> i32 {
    // INVARIANT: Called by genetlink with these.
    let mut dump = Dump { skb, cb };
    // SAFETY: `cb` and its request are valid while the handler runs.
    let only = unsafe {
        let info = dump_info(cb);
        let own = !(*(*info).attrs.add(usize::from(session::OWN))).is_null();
        own.then(|| Session::bound((*cb).skb, FrontEnd::Generic).map_or(0, |own| own.id()))
    };
    let all = dump.context().all;
    // Who reads this part of it, and not who asked: that one may be gone by now.
    let reader = shim::current_tgid();
    if let Some(own) = only {
        // Begin there, where it is not shown yet.
        let position = &mut dump.context().position;
        *position = (*position).max(own.saturating_sub(1));
    }
    while let Some(next) = registry::after(dump.context().position) {
        if only.is_some_and(|own| next.id() != own) {
            break;
        }
        if only.is_some() || all || next.concerns(reader) {
            let added = dump.add(Command::SessionGet, |body| put_session(body, &next));
            if added.is_err() && dump.len() == 0 {
                // To end here would be to say that there is no more.
                return EMSGSIZE.to_errno();
            }
            if added.is_err() {
                break;
            }
        }
        dump.context().position = next.id();
    }
    dump.len()
}

fn put_session(body: &mut Body<'_>, of: &Session) -> Result {
    let snapshot = of.snapshot();
    body.put_u64(session::ID, of.id(), session::PAD)?;
    body.put_u32(session::PID, of.owner().number())?;
    body.put_str(session::COMM, of.comm())?;
    body.put_u32(session::PORTID, of.portid())?;
    body.put_u32(session::STATE, snapshot.state as u32)?;
    body.put_u32(session::IN_FLIGHT, snapshot.in_flight)?;
    body.put_u32(session::QUEUED, snapshot.queued)?;
    body.put_u32(session::RUNNING, snapshot.running)?;
    body.put_u32(session::BLOCKED, snapshot.blocked)?;
    body.put_u32(session::UNDELIVERED, snapshot.undelivered)?;
    body.put_u32(session::WORKERS, snapshot.workers)?;
    if snapshot.saturated {
        body.put_flag(session::SATURATED)?;
    }
    body.put_u64(session::ACCEPTED, snapshot.totals.accepted, session::PAD)?;
    body.put_u64(session::DELIVERED, snapshot.totals.delivered, session::PAD)?;
    body.put_u64(session::REJECTED, snapshot.totals.rejected, session::PAD)?;
    body.put_u64(session::SKIPPED, snapshot.totals.skipped, session::PAD)?;
    body.put_u64(session::CANCELED, snapshot.totals.canceled, session::PAD)?;
    body.put_u64(
        session::TIMED_OUT,
        snapshot.totals.timed_out,
        session::PAD,
    )?;
    body.put_u64(session::INLINE, snapshot.totals.inline, session::PAD)?;
    body.put_u32(session::IDLE, snapshot.idle)?;
    body.put_u32(session::LAST_SEQ, snapshot.last_seq)?;
    body.put_u32(session::FRONT_END, of.front_end() as u32)?;
    if let Some(process) = of.on_behalf_of() {
        body.put_u32(session::TARGET_OF, process.number())?;
    }
    of.latencies(|latency| body.put_bytes(session::LATENCY, latency.as_bytes()))
}

/// SYSCALL_GET: the policy table.
///
/// # Safety
///
/// Called by genetlink.
unsafe extern "C" fn dump_syscalls(
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
) -> i32 {
    // INVARIANT: Called by genetlink with these.
    let mut dump = Dump { skb, cb };
    let done = dump.context().position as usize;
    for (entry, judgement) in policy::table().skip(done) {
        let added = dump.add(Command::SyscallGet, |body| {
            body.put_u32(syscall::NR, entry.nr)?;
            body.put_str(syscall::NAME, entry.name)?;
            body.put_u32(syscall::VERDICT, judgement.verdict as u32)?;
            match judgement.reason {
                Some(reason) => body.put_str(syscall::REASON, reason),
                None => Ok(()),
            }
        });
        if added.is_err() {
            break;
        }
        dump.context().position += 1;
    }
    dump.len()
}
