//! A layer under SQLite that fails on request: the n-th write, sync, read or allocation for the databases
//! of one folder.
//!
//! SQLite accesses files through a table of functions (a VFS) and memory through another one. This module
//! wraps both, once per process. The wrappers call the original functions unless a [`Disk`] injects a fault.

#![allow(unsafe_code, reason = "both tables are C functions; nothing of this is in the product")]

use std::{
    cell::RefCell,
    ffi::{CStr, c_char, c_int, c_void},
    path::{Path, PathBuf},
    ptr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use libsqlite3_sys as sys;

/// The call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A write, as on a full disk.
    Full,
    /// A write, as on a broken disk.
    Write,
    /// A sync: earlier writes may be missing.
    Sync,
    /// A read.
    Read,
    /// An allocation of SQLite's.
    Allocation,
    /// An allocation of [`VALUE`] bytes. Many are for the copy of a value of a row.
    Value,
}

/// The size of an `sqlite3_value`.
const VALUE: c_int = 56;

/// The disk of the databases in one folder.
#[derive(Debug, Default)]
pub(super) struct Disk {
    armed: Mutex<Armed>,
}

#[derive(Debug, Default)]
struct Armed {
    fault: Option<Fault>,
    /// Calls until the fault.
    left: u32,
    /// Whether every later call fails as well.
    lasts: bool,
    struck: u32,
}

static DISKS: Mutex<Vec<(PathBuf, Arc<Disk>)>> = Mutex::new(Vec::new());
static MEMORY: OnceLock<Memory> = OnceLock::new();
static VFS: OnceLock<Vfs> = OnceLock::new();

thread_local! {
    /// The disk of this thread's databases: every connection has its own thread.
    static MINE: RefCell<Option<Arc<Disk>>> = const { RefCell::new(None) };
}

/// The original memory functions.
struct Memory(sys::sqlite3_mem_methods);

/// The original VFS.
struct Vfs {
    original: *mut sys::sqlite3_vfs,
    fails_allocations: bool,
}

// SAFETY: the tables are set once and read afterwards; SQLite itself shares them among threads.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}
// SAFETY: as above.
unsafe impl Send for Vfs {}
// SAFETY: as above.
unsafe impl Sync for Vfs {}

impl Disk {
    /// The disk of all databases that are opened in the folder from now on.
    pub(super) fn below(folder: &Path) -> Arc<Self> {
        install();
        let disk = Arc::new(Self::default());
        lock(&DISKS).push((folder.to_owned(), disk.clone()));
        disk
    }

    /// Makes the n-th call from now fail, once.
    pub(super) fn fail_once(&self, fault: Fault, nth: u32) {
        *lock(&self.armed) = Armed { fault: Some(fault), left: nth, lasts: false, struck: 0 };
    }

    /// Makes the n-th call and all later ones fail.
    pub(super) fn fail_from(&self, fault: Fault, nth: u32) {
        *lock(&self.armed) = Armed { fault: Some(fault), left: nth, lasts: true, struck: 0 };
    }

    /// Stops the faults. Returns the number of failed calls.
    pub(super) fn mend(&self) -> u32 {
        std::mem::take(&mut *lock(&self.armed)).struck
    }

    /// The number of failed calls so far.
    pub(super) fn struck(&self) -> u32 {
        lock(&self.armed).struck
    }

    fn strikes(&self, faults: &[Fault]) -> Option<Fault> {
        let mut armed = lock(&self.armed);
        let fault = armed.fault.filter(|fault| faults.contains(fault))?;
        armed.left = armed.left.saturating_sub(1);
        if armed.left > 0 || armed.struck > 0 && !armed.lasts {
            return None;
        }
        armed.struck += 1;
        Some(fault)
    }
}

/// Whether allocations can fail: only if this process had opened no database before.
pub(super) fn fails_allocations() -> bool {
    install();
    VFS.get().is_some_and(|vfs| vfs.fails_allocations)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn memory() -> &'static sys::sqlite3_mem_methods {
    &MEMORY.get().expect("set before SQLite allocates through it").0
}

fn install() {
    // Memory first: its functions cannot change after the next step, which initializes SQLite.
    MEMORY.get_or_init(|| {
        // SAFETY: zeros are a valid, empty value of this C structure, and SQLite fills it.
        unsafe {
            let mut functions: sys::sqlite3_mem_methods = std::mem::zeroed();
            sys::sqlite3_config(sys::SQLITE_CONFIG_GETMALLOC, &raw mut functions);
            Memory(functions)
        }
    });
    VFS.get_or_init(|| {
        // SAFETY: SQLite copies the first table; the original VFS and its leaked copy are never freed.
        unsafe {
            let mut failing = *memory();
            failing.xMalloc = Some(allocate);
            failing.xRealloc = Some(reallocate);
            let taken = sys::sqlite3_config(sys::SQLITE_CONFIG_MALLOC, &raw mut failing);
            let original = sys::sqlite3_vfs_find(ptr::null());
            let mut vfs = *original;
            vfs.zName = c"failing".as_ptr();
            vfs.szOsFile += c_int::try_from(size_of::<File>()).expect("a few bytes");
            vfs.xOpen = Some(open);
            let vfs = Box::leak(Box::new(vfs));
            assert_eq!(sys::sqlite3_vfs_register(vfs, 1), sys::SQLITE_OK);
            Vfs { original, fails_allocations: taken == sys::SQLITE_OK }
        }
    });
}

unsafe extern "C" fn allocate(size: c_int) -> *mut c_void {
    if no_memory(size) {
        return ptr::null_mut();
    }
    // SAFETY: the arguments are passed on unchanged.
    unsafe { memory().xMalloc.expect("set")(size) }
}

unsafe extern "C" fn reallocate(old: *mut c_void, size: c_int) -> *mut c_void {
    if no_memory(size) {
        return ptr::null_mut();
    }
    // SAFETY: the arguments are passed on unchanged.
    unsafe { memory().xRealloc.expect("set")(old, size) }
}

fn no_memory(size: c_int) -> bool {
    let disk = MINE.try_with(|mine| mine.try_borrow().ok().and_then(|mine| mine.clone()));
    let faults: &[Fault] = match size {
        VALUE => &[Fault::Allocation, Fault::Value],
        _ => &[Fault::Allocation],
    };
    disk.ok().flatten().is_some_and(|disk| disk.strikes(faults).is_some())
}

/// The part of SQLite's allocation for each file before the original VFS's own file.
#[repr(C)]
struct File {
    base: sys::sqlite3_file,
    /// From `Arc::into_raw`; null for files without faults.
    disk: *const Disk,
}

/// # Safety
/// [`open`] opened `file`.
unsafe fn inner(
    file: *mut sys::sqlite3_file,
) -> (*mut sys::sqlite3_file, &'static sys::sqlite3_io_methods) {
    // SAFETY: SQLite allocated `szOsFile` bytes; the second part belongs to the original VFS.
    unsafe {
        let inner = file.cast::<File>().add(1).cast::<sys::sqlite3_file>();
        (inner, &*(*inner).pMethods)
    }
}

/// # Safety
/// As [`inner`].
unsafe fn strikes(file: *mut sys::sqlite3_file, faults: &[Fault]) -> Option<Fault> {
    // SAFETY: the pointer is null or kept alive by the file.
    unsafe { (*file.cast::<File>()).disk.as_ref() }.and_then(|disk| disk.strikes(faults))
}

fn disk_of(name: *const c_char) -> Option<Arc<Disk>> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite's names end with a zero.
    let name = unsafe { CStr::from_ptr(name) }.to_str().ok()?;
    let folder = Path::new(name).parent()?;
    lock(&DISKS).iter().find(|(known, _)| known == folder).map(|(_, disk)| disk.clone())
}

unsafe extern "C" fn open(
    _: *mut sys::sqlite3_vfs,
    name: *const c_char,
    file: *mut sys::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let disk = disk_of(name);
    if let Some(disk) = &disk {
        MINE.set(Some(disk.clone()));
    }
    // SAFETY: `file` has room for both parts; a failed opening leaves no methods behind.
    unsafe {
        (*file).pMethods = ptr::null();
        let inner = file.cast::<File>().add(1).cast::<sys::sqlite3_file>();
        let vfs = VFS.get().expect("set before a file is opened through it").original;
        let code = (*vfs).xOpen.expect("set")(vfs, name, inner, flags, out_flags);
        if code == sys::SQLITE_OK {
            (*file.cast::<File>()).disk = disk.map_or(ptr::null(), Arc::into_raw);
            (*file).pMethods = &raw const METHODS;
        }
        code
    }
}

unsafe extern "C" fn close(file: *mut sys::sqlite3_file) -> c_int {
    // SAFETY: the last use of the file; this drops the reference that `open` created.
    unsafe {
        let (inner, methods) = inner(file);
        let code = methods.xClose.expect("set")(inner);
        let disk = (*file.cast::<File>()).disk;
        if !disk.is_null() {
            drop(Arc::from_raw(disk));
        }
        code
    }
}

/// A function of the table: fails with `$code` on a fault, and otherwise calls the original.
macro_rules! forward {
    ($name:ident, $method:ident, [$($fault:ident => $code:ident),*], $($argument:ident: $kind:ty),*) => {
        unsafe extern "C" fn $name(file: *mut sys::sqlite3_file $(, $argument: $kind)*) -> c_int {
            // SAFETY: the arguments are passed on unchanged.
            unsafe {
                match strikes(file, &[$(Fault::$fault),*]) {
                    $(Some(Fault::$fault) => return sys::$code,)*
                    _ => {}
                }
                let (inner, methods) = inner(file);
                methods.$method.expect("set")(inner $(, $argument)*)
            }
        }
    };
}

forward!(read, xRead, [Read => SQLITE_IOERR_READ], to: *mut c_void, size: c_int, at: i64);
forward!(write, xWrite, [Full => SQLITE_FULL, Write => SQLITE_IOERR_WRITE], from: *const c_void, size: c_int, at: i64);
forward!(truncate, xTruncate, [Write => SQLITE_IOERR_TRUNCATE], size: i64);
forward!(sync, xSync, [Sync => SQLITE_IOERR_FSYNC], flags: c_int);
forward!(file_size, xFileSize, [], size: *mut i64);
forward!(lock_file, xLock, [], level: c_int);
forward!(unlock_file, xUnlock, [], level: c_int);
forward!(check_reserved, xCheckReservedLock, [], result: *mut c_int);
forward!(control, xFileControl, [], what: c_int, argument: *mut c_void);
forward!(sector_size, xSectorSize, [],);
forward!(characteristics, xDeviceCharacteristics, [],);
forward!(lock_map, xShmLock, [], offset: c_int, count: c_int, flags: c_int);
forward!(unmap, xShmUnmap, [], delete: c_int);

/// Only a new part of the index takes room.
unsafe extern "C" fn map(
    file: *mut sys::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    // SAFETY: the arguments are passed on, in the first call with `extend` off.
    unsafe {
        let (inner, methods) = inner(file);
        let map = methods.xShmMap.expect("set");
        let code = map(inner, page, size, 0, to);
        if code != sys::SQLITE_OK || extend == 0 || !(*to).is_null() {
            return code;
        }
        if strikes(file, &[Fault::Full, Fault::Write]).is_some() {
            return sys::SQLITE_IOERR_SHMSIZE;
        }
        map(inner, page, size, extend, to)
    }
}

unsafe extern "C" fn barrier(file: *mut sys::sqlite3_file) {
    // SAFETY: the arguments are passed on unchanged.
    unsafe {
        let (inner, methods) = inner(file);
        methods.xShmBarrier.expect("set")(inner);
    }
}

static METHODS: sys::sqlite3_io_methods = sys::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock_file),
    xUnlock: Some(unlock_file),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(map),
    xShmLock: Some(lock_map),
    xShmBarrier: Some(barrier),
    xShmUnmap: Some(unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The disk of the database at an address, if its folder has one.
pub(super) fn disk_at(address: &str) -> Option<Arc<Disk>> {
    let folder = Path::new(address.strip_prefix("sqlite://")?).parent()?;
    lock(&DISKS).iter().find(|(known, _)| known == folder).map(|(_, disk)| disk.clone())
}
