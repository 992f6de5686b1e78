namespace Genfence.Native;

// The structs and numbers of include/genfence.h; a test compares every offset with the library's own.
#pragma warning disable CA1823, IDE0051, CS0169, CS0649 // Fields that only the other side looks at.

internal static class Status
{
    public const int Done = 0;
    public const int Hit = 1;
    public const int Miss = 2;
    public const int Leased = 3;
    public const int Bypass = 4;
    public const int Pending = 5;
    public const int Stored = 6;
    public const int Rejected = 7;
    public const int Reserved = 8;
    public const int Purged = 9;
    public const int Lost = 10;
    public const int Conflict = 11;
    public const int Busy = 12;
    public const int InDoubt = 13;
    public const int TimedOut = 14;
    public const int Submitted = 15;
    public const int LoadFailed = 16;
    public const int Invalid = -1;
    public const int Store = -2;
    public const int ShutDown = -3;
    public const int Panic = -4;
    public const int Abi = -5;
}

internal static class Flags
{
    public const uint Nothing = 1;
    public const uint Version = 2;
    public const uint Strict = 4;
    public const uint Unstored = 8;
    public const uint Unread = 16;
}

internal enum Op : uint
{
    Get = 1,
    Lookup = 2,
    Fill = 3,
    Reserve = 4,
    Commit = 5,
    Release = 6,
    Abort = 7,
    Renew = 8,
    Set = 9,
    Replace = 10,
    Invalidate = 11,
    Touch = 12,
    Diagnose = 13,
    LookupMany = 14,
    Load = 15,
    Loaded = 16,
    LoadFailed = 17,
    Ready = 18,
}

internal unsafe struct NativeSlice
{
    public byte* Data;
    public nuint Length;
}

internal unsafe struct NativeBytes
{
    public byte* Data;
    public nuint Length;
    public nint Owner;
}

internal unsafe struct NativeOptions
{
    public uint StructSize;
    public uint AbiMajor;
    public uint AbiMinor;
    public uint WorkerThreads;
    public NativeSlice Prefix;
    public ulong Flags;
    public fixed ulong Reserved[5];
}

internal unsafe struct NativeOp
{
    public Op Op;
    public uint Flags;
    public ulong UserData;
    public NativeSlice Key;
    public NativeSlice Value;
    public ulong Version;
    public ulong TtlMs;
    public ulong Stamp;
    public nint Lease;
    public nint Reservation;
    public fixed ulong Reserved[2];
}

internal unsafe struct NativeResult
{
    public ulong UserData;
    public int Status;
    public int Detail;
    public uint Flags;
    public uint Reserved;
    public NativeBytes Value;
    public ulong Version;
    public ulong Stamp;
    public ulong RemainingMs;
    public nint Lease;
    public nint Reservation;
    public NativeError* Error;
}

internal unsafe struct NativeError
{
    public int Status;
    public int ServerCode;
    public byte* Message;
    public byte* Field;
    public fixed ulong Reserved[2];
}

internal struct NativeLive
{
    public long Caches;
    public long Queues;
    public long Leases;
    public long Reservations;
    public long Errors;
    public long Values;
    public long ValueBytes;
    public long Pending;
}

internal struct NativeStats
{
    public ulong StructSize;
    public ulong Hits;
    public ulong Misses;
    public ulong Shared;
    public ulong Leases;
    public ulong Extensions;
    public ulong LeasesReturned;
    public ulong Bypasses;
    public ulong FillsStored;
    public ulong FillsRejected;
    public ulong Oversized;
    public ulong Reservations;
    public ulong ReservationsLeft;
    public ulong CommitsStored;
    public ulong Purges;
    public ulong InDoubt;
    public ulong Failures;
}
