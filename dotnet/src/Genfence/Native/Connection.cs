using System.Buffers;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Genfence.Native;

/// <summary>
/// An open cache, its queue, and the one thread that takes completions out of it, and does the native library's work
/// meanwhile. Knows bytes and statuses only.
/// </summary>
#pragma warning disable CA1001 // CloseAsync disposes.
internal sealed unsafe class Connection
#pragma warning restore CA1001
{
    private const int BatchSize = 256;
    private const int KeyOnStack = 256;
    internal const int PeekHits = 1;
    internal const int PeekCopies = 2;

    /// <summary>The values that are read on the stack: larger ones are copied once less.</summary>
    public const int ValueOnStack = 512;

    /// <summary>Names no slot: nobody waits for the completion.</summary>
    private const ulong Nobody = ulong.MaxValue;

    private readonly CacheHandle _cache;
    private readonly QueueHandle _queue;
    private readonly OperationPool _pool = new();
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly object _gate = new();
    private readonly bool _peeks;
    private int _closing;
    private int _updates;

    private Connection(CacheHandle cache, QueueHandle queue)
    {
        _cache = cache;
        var peeks = Methods.gf_peeks(cache);
        _peeks = (peeks & PeekHits) != 0;
        KeepsCopies = (peeks & PeekCopies) != 0;
        _queue = queue;
        ulong soft, hard;
        _ = Methods.gf_load_times(cache, &soft, &hard);
        (SoftTimeout, HardTimeout) = (Span(soft), Span(hard));
        new Thread(TakeCompletions) { IsBackground = true, Name = "genfence completions" }.Start();
    }

    public SharedFailures Failures { get; } = new();

    /// <summary>Whether values may be kept in a form of the program's own.</summary>
    public bool KeepsCopies { get; }

    /// <summary>The loads that go on without their callers.</summary>
    public OrphanLoads Orphans => _pool.Orphans;

    /// <summary>How long one who takes a stale value waits for a load; infinite, where it is as long as it takes.</summary>
    public TimeSpan SoftTimeout { get; }

    /// <summary>How long a load may take; infinite, where nothing is said.</summary>
    public TimeSpan HardTimeout { get; }

    private static TimeSpan Span(ulong milliseconds) =>
        milliseconds == 0 ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(milliseconds);

    /// <summary>Whether a call under way may wait for a load of the key with this hash.</summary>
    public bool Awaits(int key) => _pool.Awaits(key);

    public bool IsClosed => Volatile.Read(ref _closing) != 0;

    /// <summary>Blocks while it connects, unless that goes on in the background.</summary>
    public static Connection Open(string url, int workerThreads, ReadOnlySpan<byte> prefix, NamedHome? home)
    {
        nint cache = 0;
        CheckLibrary();
        // Without threads of the library's own the one that takes completions does all of its work.
        var queue = new QueueHandle(workerThreads == 0 ? NewDriving() : Methods.gf_queue_new());
        var number = home is null ? 0 : Homes.Add(home.Of);
        try
        {
            var driver = workerThreads == 0 ? queue : null;
            With(url, workerThreads, prefix, home?.Name, number, driver, Methods.gf_open, &cache);
        }
        catch
        {
            queue.Dispose();
            Homes.Remove(number);
            throw;
        }
        return new Connection(new CacheHandle(cache, number), queue);
    }

    private static nint NewDriving()
    {
        nint queue;
        NativeError* error = null;
        var status = Methods.gf_queue_new_driving(&queue, &error);
        return status == Status.Done ? queue : throw GenfenceException.Take(status, ref error);
    }

    /// <summary>Checks what can be checked without connecting.</summary>
    public static void Check(string url, int workerThreads, ReadOnlySpan<byte> prefix, NamedHome? home) =>
        With(
            url, workerThreads, prefix, home?.Name, 0, null,
            (text, options, _, error) => Methods.gf_check_url(text, options, error), null);

    private delegate int Call(byte* url, NativeOptions* options, nint* cache, NativeError** error);

    private static void With(
        string url, int workerThreads, ReadOnlySpan<byte> prefix, string? homeName, nint home, QueueHandle? driver, Call call,
        nint* cache)
    {
        CheckLibrary();
        if (url.Contains('\0', StringComparison.Ordinal))
        {
            throw new GenfenceInvalidException("url", "url: has a zero character");
        }
        NativeOptions options;
        Methods.gf_options_init(&options);
        options.AbiMajor = Methods.AbiMajor;
        options.AbiMinor = Methods.AbiMinor;
        options.WorkerThreads = workerThreads;
        // Nobody else has the handle yet.
        options.Driver = driver?.DangerousGetHandle() ?? 0;
        var text = Marshal.StringToCoTaskMemUTF8(url);
        NativeError* error = null;
        try
        {
            var named = Encoding.UTF8.GetBytes(homeName ?? "");
            fixed (byte* bytes = prefix, name = named)
            {
                options.Prefix = new NativeSlice { Data = bytes, Length = (nuint)prefix.Length };
                var atHome = Homes.Native(new NativeSlice { Data = name, Length = (nuint)named.Length }, home);
                options.Home = homeName is null ? 0 : (nint)(&atHome);
                var status = call((byte*)text, &options, cache, &error);
                if (status != Status.Done)
                {
                    throw GenfenceException.Take(status, ref error);
                }
            }
        }
        finally
        {
            Marshal.ZeroFreeCoTaskMemUTF8(text);
        }
    }

    private static void CheckLibrary()
    {
        uint major;
        try
        {
            major = Methods.gf_abi_version() >> 16;
        }
        catch (Exception cause) when (cause is DllNotFoundException or BadImageFormatException)
        {
            throw new GenfenceException(
                Platforms.Missing(
                    RuntimeInformation.RuntimeIdentifier, RuntimeInformation.ProcessArchitecture, Methods.Named),
                cause);
        }
        if (major != Methods.AbiMajor)
        {
            throw new GenfenceException(
                $"the native library speaks version {major} of its interface, and this program "
                + $"{Methods.AbiMajor}: deploy the one that came with this package");
        }
    }

    /// <summary>
    /// Looks whether there is a value that is had without waiting: a hit of the embedded store, or of a copy. The result is the
    /// caller's to free; its value is in the room, on the caller's stack, if there is enough. If not, nothing is known,
    /// and nothing was counted.
    /// </summary>
    [SkipLocalsInit]
    public bool TryHit(
        in CacheKey key, NearHandle? near, byte* room, int size, CancellationToken cancellation, out NativeResult hit)
    {
        Unsafe.SkipInit(out hit);
        if (!(near?.PeeksHits ?? _peeks) || key.MaxBytes > KeyOnStack || cancellation.IsCancellationRequested || IsClosed)
        {
            return false;
        }
        var bytes = stackalloc byte[KeyOnStack];
        try
        {
            var slice = new NativeSlice { Data = bytes, Length = (nuint)key.Write(new Span<byte>(bytes, KeyOnStack)) };
            fixed (NativeResult* result = &hit)
            {
                return Methods.gf_peek(near?.Handle ?? _cache, slice, room, (nuint)size, result, (nuint)sizeof(NativeResult)) == Status.Hit;
            }
        }
        // Whoever asks in earnest hears of it.
        catch (Exception problem) when (problem is ObjectDisposedException or GenfenceInvalidException)
        {
            return false;
        }
    }

    /// <summary>What tells whether the value of a hit may still be served; zero, where it may not be kept.</summary>
    [SkipLocalsInit]
    public nint Copy(in CacheKey key, NearHandle? near, ulong stamp)
    {
        if (key.MaxBytes > KeyOnStack)
        {
            return 0;
        }
        var bytes = stackalloc byte[KeyOnStack];
        try
        {
            var slice = new NativeSlice { Data = bytes, Length = (nuint)key.Write(new Span<byte>(bytes, KeyOnStack)) };
            return Methods.gf_copy_new(near?.Handle ?? _cache, slice, stamp);
        }
        catch (ObjectDisposedException)
        {
            return 0;
        }
    }

    /// <summary>
    /// Begins one operation. The result, when it comes, also that it was refused, is the caller's to free.
    /// </summary>
    public ValueTask<NativeResult> Submit(in Request request, CancellationToken cancellation)
    {
        if (cancellation.IsCancellationRequested)
        {
            return ValueTask.FromCanceled<NativeResult>(cancellation);
        }
        // What ends something that is under way is still taken, for as long as the native side takes it.
        if (request.Lease is null && request.Reservation is null)
        {
            ThrowIfClosed();
        }
        var size = request.Key.MaxBytes;
        byte[]? rented = null;
        var key = size <= KeyOnStack ? stackalloc byte[KeyOnStack] : rented = ArrayPool<byte>.Shared.Rent(size);
        var operation = _pool.Rent();
        NativeResult result;
        try
        {
            var length = request.Key.Write(key);
            if (request.MayAwait)
            {
                operation.MayAwait(request.Key.Text, key[..length]);
            }
            fixed (byte* keyBytes = key)
            fixed (byte* valueBytes = request.Value.Span)
            {
                var native = Describe(request, operation.UserData, keyBytes, length, valueBytes);
                Start(&native, &result, request);
            }
        }
        catch
        {
            operation.Disarm();
            throw;
        }
        finally
        {
            if (rented is not null)
            {
                ArrayPool<byte>.Shared.Return(rented);
            }
        }
        if (result.Status != Status.Submitted)
        {
            operation.Disarm();
            return new ValueTask<NativeResult>(result);
        }
        operation.CancelWith(cancellation);
        return operation.Task;
    }

    /// <summary>
    /// Submits operations with one call, all of them or none: throws where they are refused. Each task is to
    /// be awaited, and its result freed. All are of the handle of the first, with its tags.
    /// </summary>
    public ValueTask<NativeResult>[] SubmitAll(ReadOnlySpan<Request> requests, CancellationToken cancellation)
    {
        if (requests.Length > 0 && requests[0].Lease is null)
        {
            ThrowIfClosed();
        }
        var natives = new NativeOp[requests.Length];
        var pins = new MemoryHandle[requests.Length];
        var held = new bool[requests.Length];
        var operations = new Operation[requests.Length];
        var keys = ArrayPool<byte>.Shared.Rent(KeyBytes(requests));
        try
        {
            fixed (byte* start = keys)
            fixed (NativeOp* first = natives)
            {
                var used = 0;
                for (var i = 0; i < requests.Length; i++)
                {
                    operations[i] = _pool.Rent();
                    pins[i] = requests[i].Value.Pin();
                    var length = requests[i].Key.Write(keys.AsSpan(used));
                    if (requests[i].MayAwait)
                    {
                        operations[i].MayAwait(requests[i].Key.Text, keys.AsSpan(used, length));
                    }
                    natives[i] = Describe(
                        requests[i], operations[i].UserData, start + used, length, (byte*)pins[i].Pointer);
                    used += length;
                    if (requests[i].Lease is { } lease)
                    {
                        lease.DangerousAddRef(ref held[i]);
                        natives[i].Lease = lease.DangerousGetHandle();
                    }
                }
                Submit(first, (nuint)natives.Length, requests.Length > 0 ? requests[0] : default);
            }
        }
        catch
        {
            foreach (var operation in operations)
            {
                operation?.Disarm();
            }
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(keys);
            for (var i = 0; i < requests.Length; i++)
            {
                pins[i].Dispose();
                if (held[i])
                {
                    requests[i].Lease!.DangerousRelease();
                }
            }
        }
        return Array.ConvertAll(operations, operation =>
        {
            operation.CancelWith(cancellation);
            return operation.Task;
        });
    }

    private static int KeyBytes(ReadOnlySpan<Request> requests)
    {
        var bytes = 0;
        foreach (ref readonly var request in requests)
        {
            bytes += request.Key.MaxBytes;
        }
        return bytes;
    }

    /// <summary>A reservation of several keys, of which there is none yet.</summary>
    public ReservationHandle NewReservation(in Request request)
    {
        nint reservation;
        NativeError* error = null;
        ThrowIfClosed();
        try
        {
            var cache = request.Near?.Handle ?? _cache;
            using var tagged = request.Tags?.On(cache);
            var status = Methods.gf_reservation_new(tagged ?? cache, &reservation, &error);
            return status == Status.Done ? new ReservationHandle(reservation) : throw GenfenceException.Take(status, ref error);
        }
        catch (ObjectDisposedException)
        {
            throw ShutDown();
        }
    }

    /// <summary>A handle with a near time of its own.</summary>
    public NearHandle Near(ulong milliseconds)
    {
        nint handle;
        NativeError* error = null;
        try
        {
            var status = Methods.gf_near(_cache, milliseconds, &handle, &error);
            return status == Status.Done ? new(new CacheHandle(handle, 0)) : throw GenfenceException.Take(status, ref error);
        }
        catch (ObjectDisposedException)
        {
            throw ShutDown();
        }
    }

    /// <summary>Throws where they are out of bounds, or the cache has no tags.</summary>
    public void Check(Tags tags)
    {
        try
        {
            tags.On(_cache).Dispose();
        }
        catch (ObjectDisposedException)
        {
            throw ShutDown();
        }
    }

    public NativeStats Stats()
    {
        var stats = new NativeStats { StructSize = (ulong)sizeof(NativeStats) };
        try
        {
            _ = Methods.gf_stats_read(_cache, &stats);
        }
        catch (ObjectDisposedException)
        {
            throw ShutDown();
        }
        return stats;
    }

    /// <summary>An update begins, which a close gives time to end: dispose what this returns.</summary>
    public Update BeginUpdate()
    {
        lock (_gate)
        {
            ThrowIfClosed();
            _updates++;
        }
        return new Update(this);
    }

    private void EndUpdate()
    {
        lock (_gate)
        {
            _updates--;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>
    /// Ends what is under way, within a bound, and frees everything. Each await ends. The second call
    /// waits for the first.
    /// </summary>
    public Task CloseAsync(TimeSpan within)
    {
        bool first;
        lock (_gate)
        {
            first = _closing == 0;
            Volatile.Write(ref _closing, 1);
        }
        if (first)
        {
            // It waits, so neither the caller's thread nor the pool's are its place.
            new Thread(() => Close(within)) { IsBackground = true, Name = "genfence close" }.Start();
        }
        return _drained.Task;
    }

    private void Close(TimeSpan within)
    {
        var started = Stopwatch.GetTimestamp();
        TimeSpan Left() => TimeSpan.FromTicks(Math.Max(0, (within - Stopwatch.GetElapsedTime(started)).Ticks));
        lock (_gate)
        {
            // Their reservations would be left to expire.
            while (_updates > 0 && Monitor.Wait(_gate, Left()))
            {
            }
        }
        // Leases are waited for on the other side.
        _ = Methods.gf_close(_cache, (ulong)Left().TotalMilliseconds);
        Methods.gf_queue_close(_queue);
    }

    private void Start(NativeOp* op, NativeResult* result, in Request request)
    {
        var (lease, reservation) = (request.Lease, request.Reservation);
        bool leaseHeld = false, reservationHeld = false;
        CacheHandle? tagged = null;
        try
        {
            var cache = request.Near?.Handle ?? _cache;
            tagged = request.Tags?.On(cache);
            if (lease is not null)
            {
                lease.DangerousAddRef(ref leaseHeld);
                op->Lease = lease.DangerousGetHandle();
            }
            if (reservation is not null)
            {
                reservation.DangerousAddRef(ref reservationHeld);
                op->Reservation = reservation.DangerousGetHandle();
            }
            cache = tagged ?? cache;
            _ = Blocking.IsHere
                ? Methods.gf_call(cache, op, (nuint)sizeof(NativeOp), result, (nuint)sizeof(NativeResult))
                : Methods.gf_start(cache, _queue, op, (nuint)sizeof(NativeOp), result, (nuint)sizeof(NativeResult));
        }
        catch (ObjectDisposedException) when (IsClosed)
        {
            throw ShutDown();
        }
        finally
        {
            tagged?.Dispose();
            if (leaseHeld)
            {
                lease!.DangerousRelease();
            }
            if (reservationHeld)
            {
                reservation!.DangerousRelease();
            }
        }
    }

    private void Submit(NativeOp* ops, nuint count, in Request first)
    {
        NativeError* error = null;
        try
        {
            var cache = first.Near?.Handle ?? _cache;
            using var tagged = first.Tags?.On(cache);
            var status = Methods.gf_submit(tagged ?? cache, _queue, ops, count, (nuint)sizeof(NativeOp), &error);
            if (status != Status.Done)
            {
                throw GenfenceException.Take(status, ref error);
            }
        }
        catch (ObjectDisposedException) when (IsClosed)
        {
            throw ShutDown();
        }
    }

    private static NativeOp Describe(
        in Request request, ulong userData, byte* key, int keyLength, byte* value) =>
        new()
        {
            Op = request.Op,
            Flags = request.Flags,
            UserData = userData,
            Key = new NativeSlice { Data = key, Length = (nuint)keyLength },
            Value = new NativeSlice { Data = value, Length = value is null ? 0 : (nuint)request.Value.Length },
            Version = request.Version,
            TtlMs = request.TtlMs,
            Stamp = request.Stamp,
        };

    private void TakeCompletions()
    {
        var batch = (NativeResult*)NativeMemory.Alloc(BatchSize, (nuint)sizeof(NativeResult));
        nuint count;
        while (Methods.gf_queue_wait(_queue, batch, BatchSize, (nuint)sizeof(NativeResult), -1, &count)
            == Status.Done)
        {
            for (nuint i = 0; i < count; i++)
            {
                Complete(batch + i);
            }
        }
        NativeMemory.Free(batch);
        // The queue is closed and empty, so the cache is closed, too.
        Debug.Assert(IsClosed);
        _cache.Dispose();
        _queue.Dispose();
        _drained.SetResult();
    }

    private void Complete(NativeResult* result)
    {
        var operation = _pool.Find((uint)result->UserData);
        if (operation is not null && operation.TryComplete((uint)(result->UserData >> 32), *result))
        {
            return;
        }
        if (result->Status == Status.Reserved)
        {
            AbortUnseen(result->Reservation);
        }
        else if (result->Status == Status.LoadFailed)
        {
            _ = Failures.Take(result->ValueSpan());
        }
        // Gives a lease back, and frees a value.
        Methods.gf_result_free(result);
    }

    /// <summary>Nobody was told of this reservation, so the source was not changed under it.</summary>
    private void AbortUnseen(nint reservation)
    {
        var abort = new NativeOp { Op = Op.Abort, UserData = Nobody, Reservation = reservation };
        NativeError* error = null;
        // Where the cache is closed meanwhile, it expires.
        if (Methods.gf_submit(_cache, _queue, &abort, 1, (nuint)sizeof(NativeOp), &error) != Status.Done)
        {
            Methods.gf_error_free(error);
        }
    }

    private void ThrowIfClosed()
    {
        if (IsClosed)
        {
            throw ShutDown();
        }
    }

    public static GenfenceShutDownException ShutDown() =>
        new("the cache is disposed; connect a new one");

    public readonly struct Update(Connection connection) : IDisposable
    {
        public void Dispose() => connection.EndUpdate();
    }
}
