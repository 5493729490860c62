//! The table of C functions. A file is our head and, right behind it in the same memory, the platform's file.

use crate::Recorder;
use rusqlite::ffi::*;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

/// What `pAppData` of our layer points to; lives for ever.
struct Layer {
    recorder: Recorder,
    platform: *mut sqlite3_vfs,
}

/// Our head of a file.
#[repr(C)]
struct Head {
    base: sqlite3_file,
    recorder: *mut Opened,
}

struct Opened {
    recorder: Recorder,
    path: PathBuf,
}

/// Registers a layer around the platform's.
pub fn register(name: &str, recorder: Recorder) {
    let name = CString::new(name).expect("a layer's name has no zero byte").into_raw();
    // SAFETY: SQLite returns its default layer, which lives as long as the process; we copy its plain fields. The new
    // table, its name and its data are never freed, as SQLite demands of a registered layer.
    unsafe {
        sqlite3_initialize();
        let platform = sqlite3_vfs_find(ptr::null());
        assert!(!platform.is_null(), "SQLite has a default file layer");
        let layer = Box::into_raw(Box::new(Layer { recorder, platform }));
        let vfs = sqlite3_vfs {
            szOsFile: (*platform).szOsFile + size_of::<Head>() as c_int,
            pNext: ptr::null_mut(),
            zName: name,
            pAppData: layer.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            ..*platform
        };
        let code = sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0);
        assert_eq!(code, SQLITE_OK, "SQLite takes the layer");
    }
}

/// The platform's file behind our head.
///
/// # Safety
/// `file` is one that SQLite allocated with our layer's `szOsFile`.
unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: the memory is that much larger than our head, whose size is a multiple of eight.
    unsafe { file.cast::<Head>().add(1).cast() }
}

/// The platform's functions for a file.
///
/// # Safety
/// `file` is open.
unsafe fn methods<'a>(file: *mut sqlite3_file) -> &'a sqlite3_io_methods {
    // SAFETY: an open file's table is static.
    unsafe { &*(*real(file)).pMethods }
}

/// Our record of a file.
///
/// # Safety
/// `file` is open, and not closed while the result is used.
unsafe fn opened<'a>(file: *mut sqlite3_file) -> &'a Opened {
    // SAFETY: `open` put it there, `close` alone takes it.
    unsafe { &*(*file.cast::<Head>()).recorder }
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with our own table, with memory of `szOsFile` bytes, and with a name that ends in zero or none.
    unsafe {
        let layer = &*(*vfs).pAppData.cast::<Layer>();
        let head = file.cast::<Head>();
        (*head).base.pMethods = ptr::null();
        let Some(platform_open) = (*layer.platform).xOpen else { return SQLITE_CANTOPEN };
        let code = platform_open(layer.platform, name, real(file), flags, out);
        if (*real(file)).pMethods.is_null() {
            return code;
        }
        let path = if name.is_null() { PathBuf::from("temporary") } else { path_of(name) };
        layer.recorder.opened(&path);
        (*head).recorder = Box::into_raw(Box::new(Opened { recorder: layer.recorder.clone(), path }));
        (*head).base.pMethods = &METHODS;
        code
    }
}

/// # Safety
/// `name` ends in a zero byte.
unsafe fn path_of(name: *const c_char) -> PathBuf {
    // SAFETY: as the caller promises.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes())).into()
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite calls with our own table and with a name that ends in zero.
    unsafe {
        let layer = &*(*vfs).pAppData.cast::<Layer>();
        layer.recorder.deleted(&path_of(name));
        (*layer.platform).xDelete.map_or(SQLITE_ERROR, |delete| delete(layer.platform, name, sync_folder))
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes an open file once; nothing uses our record of it afterwards.
    unsafe {
        let code = methods(file).xClose.map_or(SQLITE_OK, |close| close(real(file)));
        drop(Box::from_raw((*file.cast::<Head>()).recorder));
        code
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, data: *const c_void, bytes: c_int, at: i64) -> c_int {
    // SAFETY: SQLite calls with an open file and so many bytes to read.
    unsafe {
        let content = std::slice::from_raw_parts(data.cast::<u8>(), bytes as usize);
        let Opened { recorder, path } = opened(file);
        if !recorder.writes(path, at as usize, content) {
            return SQLITE_IOERR_WRITE;
        }
        methods(file).xWrite.map_or(SQLITE_IOERR_WRITE, |write| write(real(file), data, bytes, at))
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, bytes: i64) -> c_int {
    // SAFETY: SQLite calls with an open file.
    unsafe {
        let Opened { recorder, path } = opened(file);
        recorder.truncates(path, bytes as usize);
        methods(file).xTruncate.map_or(SQLITE_IOERR_TRUNCATE, |truncate| truncate(real(file), bytes))
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: SQLite calls with an open file.
    unsafe {
        let Opened { recorder, path } = opened(file);
        let code = methods(file).xSync.map_or(SQLITE_IOERR_FSYNC, |sync| sync(real(file), flags));
        if code == SQLITE_OK && !recorder.syncs(path) {
            return SQLITE_IOERR_FSYNC;
        }
        code
    }
}

/// Functions that pass their arguments on to the platform's file.
macro_rules! pass_on {
    ($($ours:ident => $theirs:ident($($arg:ident: $type:ty),*), $missing:expr;)*) => {
        $(unsafe extern "C" fn $ours(file: *mut sqlite3_file $(, $arg: $type)*) -> c_int {
            // SAFETY: SQLite calls with an open file; all else is the platform's to judge.
            unsafe { methods(file).$theirs.map_or($missing, |function| function(real(file) $(, $arg)*)) }
        })*
    };
}

pass_on! {
    read => xRead(data: *mut c_void, bytes: c_int, at: i64), SQLITE_IOERR_READ;
    file_size => xFileSize(size: *mut i64), SQLITE_IOERR_FSTAT;
    lock => xLock(level: c_int), SQLITE_IOERR_LOCK;
    unlock => xUnlock(level: c_int), SQLITE_IOERR_UNLOCK;
    is_reserved => xCheckReservedLock(out: *mut c_int), SQLITE_IOERR_CHECKRESERVEDLOCK;
    control => xFileControl(what: c_int, data: *mut c_void), SQLITE_NOTFOUND;
    sector_size => xSectorSize(), 4096;
    characteristics => xDeviceCharacteristics(), 0;
    shm_map => xShmMap(page: c_int, bytes: c_int, extend: c_int, out: *mut *mut c_void), SQLITE_IOERR_SHMMAP;
    shm_lock => xShmLock(at: c_int, count: c_int, flags: c_int), SQLITE_IOERR_SHMLOCK;
    shm_unmap => xShmUnmap(delete: c_int), SQLITE_OK;
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: SQLite calls with an open file.
    unsafe {
        if let Some(barrier) = methods(file).xShmBarrier {
            barrier(real(file));
        }
    }
}

/// Version 2: with shared memory, which WAL needs, and without memory-mapped reads, which would pass us by.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(is_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
