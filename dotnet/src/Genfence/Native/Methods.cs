using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

[assembly: DisableRuntimeMarshalling]

namespace Genfence.Native;

/// <summary>The entry points of include/genfence.h that this side uses.</summary>
internal static unsafe partial class Methods
{
    private const string Library = "genfence";

#pragma warning disable CA2255 // It must come before the first call, whoever makes it.
    [ModuleInitializer]
    internal static void Resolve() =>
        NativeLibrary.SetDllImportResolver(typeof(Methods).Assembly, Find);
#pragma warning restore CA2255

    /// <summary>
    /// The library is in the package; for work on genfence itself GENFENCE_NATIVE_PATH names another.
    /// </summary>
    private static nint Find(string name, Assembly assembly, DllImportSearchPath? search) =>
        name == Library && !string.IsNullOrEmpty(Named) ? NativeLibrary.Load(Named) : 0;

    internal static string? Named => Environment.GetEnvironmentVariable("GENFENCE_NATIVE_PATH");

    [LibraryImport(Library)]
    public static partial uint gf_abi_version();

    [LibraryImport(Library)]
    public static partial byte* gf_version();

    [LibraryImport(Library)]
    public static partial void gf_options_init(NativeOptions* options);

    [LibraryImport(Library)]
    public static partial int gf_open(
        byte* url, NativeOptions* options, nint* cache, NativeError** error);

    [LibraryImport(Library)]
    public static partial int gf_check_url(byte* url, NativeOptions* options, NativeError** error);

    [LibraryImport(Library)]
    public static partial int gf_close(CacheHandle cache, ulong withinMs);

    [LibraryImport(Library)]
    public static partial void gf_free(nint cache);

    [LibraryImport(Library)]
    public static partial int gf_tagged(
        CacheHandle cache, NativeSlice* tags, nuint count, nint* tagged, NativeError** error);

    [LibraryImport(Library)]
    public static partial int gf_reservation_new(CacheHandle cache, nint* reservation, NativeError** error);

    [LibraryImport(Library)]
    public static partial int gf_name(ReservationHandle reservation, NativeSlice* keys, nuint count, NativeError** error);

    [LibraryImport(Library)]
    public static partial int gf_value_of(ReservationHandle reservation, NativeSlice key, NativeEntry entry, NativeError** error);

    [LibraryImport(Library)]
    public static partial int gf_version_of(ReservationHandle reservation, NativeSlice key, ulong version, NativeError** error);

    [LibraryImport(Library)]
    public static partial int gf_unchanged_of(ReservationHandle reservation, NativeSlice key, NativeError** error);

    [LibraryImport(Library)]
    public static partial nuint gf_reservation_count(ReservationHandle reservation);

    [LibraryImport(Library)]
    public static partial int gf_told(ReservationHandle reservation, nuint index, NativeSlice* key);

    [LibraryImport(Library)]
    public static partial int gf_near(CacheHandle cache, ulong nearMs, nint* handle, NativeError** error);

    [LibraryImport(Library)]
    public static partial int gf_load_times(CacheHandle cache, ulong* soft, ulong* hard);

    [LibraryImport(Library)]
    public static partial int gf_stats_read(CacheHandle cache, NativeStats* stats);

    [LibraryImport(Library)]
    public static partial int gf_log_set(
        int level, delegate* unmanaged[Cdecl]<int, byte*, void*, void> write, void* userData);

    [LibraryImport(Library)]
    public static partial nint gf_queue_new();

    [LibraryImport(Library)]
    public static partial int gf_queue_new_driving(nint* queue, NativeError** error);

    [LibraryImport(Library)]
    public static partial void gf_queue_close(QueueHandle queue);

    [LibraryImport(Library)]
    public static partial void gf_queue_free(nint queue);

    [LibraryImport(Library)]
    public static partial int gf_submit(
        CacheHandle cache, QueueHandle queue, NativeOp* ops, nuint count, nuint opSize,
        NativeError** error);

    [LibraryImport(Library)]
    public static partial int gf_start(
        CacheHandle cache, QueueHandle queue, NativeOp* op, nuint opSize, NativeResult* result, nuint resultSize);

    [LibraryImport(Library)]
    public static partial int gf_call(
        CacheHandle cache, NativeOp* op, nuint opSize, NativeResult* result, nuint resultSize);

    [LibraryImport(Library)]
    public static partial int gf_peek(
        CacheHandle cache, NativeSlice key, byte* room, nuint roomLength, NativeResult* result, nuint resultSize);

    [LibraryImport(Library)]
    public static partial int gf_peeks(CacheHandle cache);

    [LibraryImport(Library)]
    public static partial nint gf_copy_new(CacheHandle cache, NativeSlice key, ulong stamp);

    // It takes no lock, calls nobody back, and returns within some ten nanoseconds.
    [LibraryImport(Library)]
    [SuppressGCTransition]
    public static partial int gf_copy_counts(nint copy);

    [LibraryImport(Library)]
    public static partial void gf_copy_renew(nint copy);

    [LibraryImport(Library)]
    public static partial void gf_copy_free(nint copy);

    [LibraryImport(Library)]
    public static partial int gf_queue_wait(
        QueueHandle queue, NativeResult* results, nuint capacity, nuint resultSize, long timeoutMs,
        nuint* count);

    [LibraryImport(Library)]
    public static partial void gf_result_free(NativeResult* result);

    [LibraryImport(Library)]
    public static partial void gf_error_free(NativeError* error);

    [LibraryImport(Library)]
    public static partial void gf_lease_free(nint lease);

    [LibraryImport(Library)]
    public static partial int gf_lease_is_awaited(LeaseHandle lease);

    [LibraryImport(Library)]
    public static partial void gf_reservation_free(nint reservation);

    [LibraryImport(Library)]
    public static partial int gf_reservation_is_unused(ReservationHandle reservation);

    [LibraryImport(Library)]
    public static partial int gf_reservation_region(ReservationHandle reservation, nuint index, NativeSlice* region);

    [LibraryImport(Library)]
    public static partial ulong gf_remaining_ms(ReservationHandle reservation);

    [LibraryImport(Library)]
    public static partial ulong gf_unsettled_ms(ReservationHandle reservation);

    [LibraryImport(Library)]
    public static partial void gf_live_count(NativeLive* live);
}
