using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text.Json;
using Genfence.Native;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Genfence;

/// <summary>
/// A cache in front of a database that never serves a stale value: a writer reserves a key, changes the
/// source, and commits (<c>UpdateAsync</c>); a reader that misses takes a lease, reads the source, and
/// fills (<c>GetOrFillAsync</c>). Whoever loses the race stores nothing.
/// </summary>
/// <remarks>
/// Any thread may call it, any number at once. Where nothing else is said, a call throws
/// <see cref="GenfenceInvalidException"/> for what is out of bounds, before anything is sent,
/// <see cref="GenfenceStoreException"/> where the store gave no answer, and
/// <see cref="GenfenceShutDownException"/> once the cache is disposed. Cancelling a call ends the wait, not
/// what was sent; what it would have returned is given back.
/// </remarks>
public sealed partial class GenfenceCache : IAsyncDisposable, IDisposable
{
    private readonly GenfenceOptions _options;
    private readonly NearObjects? _objects;
    private int _closed;

    private GenfenceCache(Connection connection, GenfenceOptions options)
    {
        Connection = connection;
        _options = options;
        _objects = connection.KeepsCopies ? new NearObjects() : null;
        _background = new();
        _serializers = new();
        _unwritable = new();
        _unreadable = new();
        Logger = (options.LoggerFactory ?? NullLoggerFactory.Instance).CreateLogger<GenfenceCache>();
        if (options.LoggerFactory is { } factory)
        {
            NativeLog.Add(factory);
        }
        Telemetry.Add(this);
    }

    /// <summary>Closes a cache that nobody disposed. Waits for nothing.</summary>
    ~GenfenceCache() => _ = Close(TimeSpan.Zero);

    internal Connection Connection { get; }

    internal ILogger Logger { get; }

    /// <summary>See <see cref="GenfenceSettings.Name"/>.</summary>
    public string Name => _options.Name;

    /// <summary>What the cache has done since it was opened.</summary>
    public GenfenceStats Stats => GenfenceStats.Of(Connection.Stats());

    /// <summary>
    /// Opens a cache: <c>memory://?options</c>, or <c>aerospike://host:port/namespace/set?options</c>. Takes at
    /// most the option <c>connect_timeout</c> (5 s), and as long again to test the cluster.
    /// </summary>
    /// <param name="url">Where, and how; <see cref="GenfenceSettings"/> has the options.</param>
    /// <param name="options">What the URL does not say.</param>
    /// <param name="cancellationToken">Ends the wait; the cache is closed then, when it is open.</param>
    /// <returns>The cache. Dispose it.</returns>
    public static async Task<GenfenceCache> ConnectAsync(
        string url, GenfenceOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(url);
        options ??= new GenfenceOptions();
        var opening = Task.Factory.StartNew(
            () => Open(url, options),
            cancellationToken,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        try
        {
            return await opening.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            _ = CloseLater(opening);
            throw;
        }
    }

    /// <summary>Blocks while it connects, unless that goes on in the background.</summary>
    internal static GenfenceCache Open(string url, GenfenceOptions options)
    {
        options.Check();
        return new GenfenceCache(
            Connection.Open(options.In(url), options.WorkerThreads, options.PrefixBytes.Span, options.GetHome()), options);
    }

    /// <summary>
    /// Checks all of a URL and of the options that can be checked without a connection, files that they name included.
    /// Takes no longer than to read these.
    /// </summary>
    /// <param name="url">As for <see cref="ConnectAsync"/>.</param>
    /// <param name="options">As for <see cref="ConnectAsync"/>.</param>
    /// <exception cref="GenfenceInvalidException">Something is out of bounds: names it.</exception>
    public static void Check(string url, GenfenceOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(url);
        options ??= new GenfenceOptions();
        options.Check();
        Connection.Check(options.In(url), options.WorkerThreads, options.PrefixBytes.Span, options.GetHome());
    }

    /// <summary>
    /// Waits until the store is connected to, where that goes on in the background
    /// (<see cref="GenfenceSettings.BackgroundConnect"/>); else it is at once.
    /// </summary>
    /// <param name="within">How long, at most 1 h.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>When it is.</returns>
    /// <exception cref="GenfenceStoreException">It is not within that time, and why; connecting goes on all the same.</exception>
    public async ValueTask ReadyAsync(TimeSpan within, CancellationToken cancellationToken = default)
    {
        if (within < TimeSpan.Zero || within > TimeSpan.FromHours(1))
        {
            throw new GenfenceInvalidException("within", $"within: {within}, must be 0 to 1 h");
        }
        var request = new Request(Op.Ready) { TtlMs = (ulong)within.TotalMilliseconds };
        (await Connection.StatusAsync(request, cancellationToken).ConfigureAwait(false)).MustBe(Status.Done);
    }

    /// <summary>Nobody waits any more: what is opened is closed, and what fails has nobody to be told.</summary>
    private static async Task CloseLater(Task<GenfenceCache> opening)
    {
        try
        {
            (await opening.ConfigureAwait(false)).Dispose();
        }
        catch (Exception problem) when (problem is not OutOfMemoryException)
        {
            // Looked at here, so that the process does not hear of it as of a task that nobody observed.
        }
    }

    /// <summary>
    /// The value of a key, if the cache holds one: takes no lease, and waits for nobody. The bytes are
    /// written to <paramref name="target"/>.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="target">Where to write the value.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>
    /// Whether there was a value; not, where the source is known to have nothing (<see cref="GetAsync"/> tells
    /// them apart).
    /// </returns>
    public ValueTask<bool> TryGetAsync(
        CacheKey key, IBufferWriter<byte> target, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(target);
        return TryHit(key, target, cancellationToken, out var found)
            ? new(found)
            : TryGetSlowlyAsync(key, target, cancellationToken);
    }

    [SkipLocalsInit]
    private unsafe bool TryHit(in CacheKey key, IBufferWriter<byte> target, CancellationToken cancellation, out bool found)
    {
        var room = stackalloc byte[Connection.ValueOnStack];
        var isHit = Connection.TryHit(key, _near, room, Connection.ValueOnStack, cancellation, out var hit);
        found = isHit && WriteAndFree(ref hit, target);
        return isHit;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> TryGetSlowlyAsync(CacheKey key, IBufferWriter<byte> target, CancellationToken cancellation)
    {
        var found = await Connection.Submit(new Request(Op.Get) { Key = key, Near = _near }, cancellation).ConfigureAwait(false);
        return WriteAndFree(ref found, target);
    }

    private static bool WriteAndFree(ref NativeResult found, IBufferWriter<byte> target)
    {
        try
        {
            found.ThrowIfFailed();
            if (!found.IsHit() || (found.Flags & Flags.Nothing) != 0)
            {
                return false;
            }
            target.Write(found.ValueSpan());
            return true;
        }
        finally
        {
            found.Free();
        }
    }

    /// <summary>
    /// The value of a key, if the cache holds one: takes no lease, and waits for nobody.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The value; <see langword="null"/> where the cache holds none.</returns>
    public async ValueTask<CachedValue?> GetAsync(CacheKey key, CancellationToken cancellationToken = default)
    {
        var found = await Connection.Submit(new Request(Op.Get) { Key = key, Near = _near }, cancellationToken)
            .ConfigureAwait(false);
        try
        {
            found.ThrowIfFailed();
            return found.IsHit() ? CachedValue.Of(found) : null;
        }
        finally
        {
            found.Free();
        }
    }

    /// <summary>
    /// The value of a key, if the cache holds one: takes no lease, and waits for nobody.
    /// </summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>
    /// Whether the cache holds one, and which: the type's default where the source is known to have nothing. Bytes that
    /// cannot be read as <typeparamref name="T"/> count as none.
    /// </returns>
    public ValueTask<(bool Found, T? Value)> TryGetAsync<T>(
        CacheKey key, IGenfenceSerializer<T>? serializer = null, CancellationToken cancellationToken = default) =>
        TryHit(key, serializer ??= Serializer<T>(), cancellationToken, out var value, out _)
            ? new((true, value))
            : TryReadAsync(new Request(Op.Get) { Key = key, Near = _near }, serializer, cancellationToken);

    /// <summary>As <c>TryGetAsync</c>, except that a store that gives no answer is an exception in any case.</summary>
    internal ValueTask<(bool Found, T? Value)> TryGetStrictlyAsync<T>(
        CacheKey key, IGenfenceSerializer<T> serializer, CancellationToken cancellationToken) =>
        TryReadAsync(new Request(Op.Get) { Key = key, Near = _near, Flags = Flags.Strict }, serializer, cancellationToken);

    /// <summary>The value, if it is had without waiting, and can be read; and its stamp, where it is due to be loaded anew.</summary>
    internal bool TryHit<T>(
        in CacheKey key, IGenfenceSerializer<T> serializer, CancellationToken cancellation, out T? value, out ulong due)
    {
        if (_objects is { } objects && TypeOf<T>.IsImmutable && key.Text is { } text
            && !cancellation.IsCancellationRequested && objects.TryGet(text, serializer, out value))
        {
            // That is seen when it is read anew, which is after a near time at the latest.
            due = 0;
            return true;
        }
        return TryReadHit(key, serializer, cancellation, out value, out due);
    }

    /// <summary>The value as it is kept already, where it is the same still; else it is read, and kept if it may be.</summary>
    private bool TryKeep<T>(
        NearObjects objects, string key, in NativeResult hit, IGenfenceSerializer<T> serializer, out T? value)
    {
        if (!objects.TryFind(key, serializer, hit.Stamp, out value) && !TryRead(hit, serializer, out value))
        {
            return false;
        }
        var copy = Connection.Copy(key, _near, hit.Stamp);
        if (copy != 0)
        {
            objects.Keep(key, value, serializer, hit.Stamp, copy);
        }
        return true;
    }

    [SkipLocalsInit]
    private unsafe bool TryReadHit<T>(
        in CacheKey key, IGenfenceSerializer<T> serializer, CancellationToken cancellation, out T? value, out ulong due)
    {
        value = default;
        due = 0;
        var room = stackalloc byte[Connection.ValueOnStack];
        if (!Connection.TryHit(key, _near, room, Connection.ValueOnStack, cancellation, out var hit))
        {
            return false;
        }
        try
        {
            due = Due(hit);
            return _objects is { } objects && TypeOf<T>.IsImmutable && key.Text is { } text
                ? TryKeep(objects, text, hit, serializer, out value)
                : TryRead(hit, serializer, out value);
        }
        finally
        {
            hit.Free();
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<(bool Found, T? Value)> TryReadAsync<T>(
        Request get, IGenfenceSerializer<T> serializer, CancellationToken cancellation)
    {
        var found = await Connection.Submit(get, cancellation).ConfigureAwait(false);
        try
        {
            found.ThrowIfFailed();
            return found.IsHit() && TryRead(found, serializer, out var value) ? (true, value) : default;
        }
        finally
        {
            found.Free();
        }
    }

    /// <summary>
    /// Looks a key up: a hit; a lease: read the source now, then fill; or a bypass: read the source and store
    /// nothing. Waits, at most for the option <c>wait</c>, while another caller fills.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Ends the wait; a lease that comes later is given back.</param>
    /// <returns>What it found.</returns>
    public ValueTask<LookupResult> LookupAsync(CacheKey key, CancellationToken cancellationToken = default) =>
        LookupAsync(new Request(Op.Lookup) { Key = key, Tags = _tags, Near = _near }, cancellationToken);

    /// <summary>
    /// As <see cref="LookupAsync(CacheKey, CancellationToken)"/>, and waits for nobody: where another caller fills the
    /// key, in this process or elsewhere, it is a bypass, <see cref="BypassReason.Slow"/>.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Ends the wait; a lease that comes later is given back.</param>
    /// <returns>What it found.</returns>
    public ValueTask<LookupResult> LookupNowAsync(CacheKey key, CancellationToken cancellationToken = default) =>
        LookupAsync(new Request(Op.LookupMany) { Key = key, Tags = _tags, Near = _near }, cancellationToken);

    private async ValueTask<LookupResult> LookupAsync(Request lookup, CancellationToken cancellation)
    {
        var found = await Connection.Submit(lookup, cancellation).ConfigureAwait(false);
        return Looked(ref found);
    }

    /// <summary>Takes a lease out of the result, and frees the rest.</summary>
    private LookupResult Looked(ref NativeResult found)
    {
        try
        {
            found.ThrowIfFailed();
            return found.Status switch
            {
                Status.Hit => new LookupResult(CachedValue.Of(found)),
                Status.Leased => new LookupResult(new Lease(this, found.TakeLease())),
                Status.Pending => new LookupResult(BypassReason.Slow),
                Status.Bypass => new LookupResult(Results.Detail<BypassReason>(found)),
                var other => throw Results.Unknown(other),
            };
        }
        finally
        {
            found.Free();
        }
    }

    /// <summary>
    /// Stores bytes without asking the source; the last set wins. Outside the guarantee.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="value">The bytes; <see langword="null"/> says that the source has nothing.</param>
    /// <param name="timeToLive">How long to keep it, rounded up to whole seconds; else the cache's own time.</param>
    /// <param name="cancellationToken">Ends the wait, not the set.</param>
    /// <returns>What became of it.</returns>
    public async ValueTask<SetOutcome> SetBytesAsync(
        CacheKey key,
        ReadOnlyMemory<byte>? value,
        TimeSpan? timeToLive = null,
        CancellationToken cancellationToken = default)
    {
        var request = new Request(Op.Set) { Key = key, Tags = _tags, Near = _near }.With(value, null, timeToLive);
        return Results.Outcome<SetOutcome>(await Connection.StatusAsync(request, cancellationToken).ConfigureAwait(false));
    }

    /// <inheritdoc cref="SetBytesAsync(CacheKey, ReadOnlyMemory{byte}?, TimeSpan?, CancellationToken)"/>
    [OverloadResolutionPriority(1)] // A null array would else become empty bytes on its way.
    public ValueTask<SetOutcome> SetBytesAsync(
        CacheKey key,
        byte[]? value,
        TimeSpan? timeToLive = null,
        CancellationToken cancellationToken = default) =>
        SetBytesAsync(key, value.OrNothing(), timeToLive, cancellationToken);

    /// <summary>
    /// Stores a value without asking the source; the last set wins. Outside the guarantee.
    /// </summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="value">The value; <see langword="null"/> says that the source has nothing.</param>
    /// <param name="timeToLive">How long to keep it, rounded up to whole seconds; else the cache's own time.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends the wait, not the set.</param>
    /// <returns>What became of it.</returns>
    public ValueTask<SetOutcome> SetAsync<T>(
        CacheKey key,
        T value,
        TimeSpan? timeToLive = null,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default) =>
        SetBytesAsync(key, Serialize(value, serializer ?? Serializer<T>()), timeToLive, cancellationToken);

    /// <summary>As <c>SetAsync</c>, within the bound of a serializer that has one.</summary>
    internal ValueTask<SetOutcome> SetWithinAsync<T>(
        CacheKey key, T value, TimeSpan? timeToLive, IGenfenceSerializer<T>? serializer, CancellationToken cancellationToken)
    {
        var bytes = Serialize(value, serializer ?? Serializer<T>());
        return bytes is { } written && serializer is IBoundedSerializer bounded && !bounded.IsWithin(written.Length)
            ? new(SetOutcome.TooLarge)
            : SetBytesAsync(key, bytes, timeToLive, cancellationToken);
    }

    /// <summary>
    /// Stores bytes if the cache still holds the value that a hit had this stamp of. Outside the guarantee.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="stamp">Of <see cref="CachedValue.Stamp"/>.</param>
    /// <param name="value">The bytes; <see langword="null"/> says that the source has nothing.</param>
    /// <param name="timeToLive">How long to keep it, rounded up to whole seconds; else the cache's own time.</param>
    /// <param name="cancellationToken">Ends the wait, not the replace.</param>
    /// <returns>What became of it.</returns>
    public async ValueTask<ReplaceOutcome> ReplaceAsync(
        CacheKey key,
        ulong stamp,
        ReadOnlyMemory<byte>? value,
        TimeSpan? timeToLive = null,
        CancellationToken cancellationToken = default)
    {
        var request = new Request(Op.Replace) { Key = key, Stamp = stamp, Tags = _tags, Near = _near }.With(value, null, timeToLive);
        return Results.Outcome<ReplaceOutcome>(await Connection.StatusAsync(request, cancellationToken).ConfigureAwait(false));
    }

    /// <inheritdoc cref="ReplaceAsync(CacheKey, ulong, ReadOnlyMemory{byte}?, TimeSpan?, CancellationToken)"/>
    [OverloadResolutionPriority(1)] // A null array would else become empty bytes on its way.
    public ValueTask<ReplaceOutcome> ReplaceAsync(
        CacheKey key,
        ulong stamp,
        byte[]? value,
        TimeSpan? timeToLive = null,
        CancellationToken cancellationToken = default) =>
        ReplaceAsync(key, stamp, value.OrNothing(), timeToLive, cancellationToken);

    /// <summary>
    /// Says that somebody who did not reserve it changed the source of a key. Removes the value, and ends every
    /// fill under way. With a version older fills are refused from now on too, and a value that is at least that
    /// new stays.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="version">The version that the source gave the change, where it has versions.</param>
    /// <param name="cancellationToken">Ends the wait, not the invalidation.</param>
    /// <returns>When it is done.</returns>
    public async ValueTask InvalidateAsync(
        CacheKey key, long? version = null, CancellationToken cancellationToken = default)
    {
        var request = new Request(Op.Invalidate) { Key = key }.With(version);
        (await Connection.StatusAsync(request, cancellationToken).ConfigureAwait(false)).MustBe(Status.Done);
    }

    /// <summary>Sets the time to live of a value anew.</summary>
    /// <param name="key">The key.</param>
    /// <param name="timeToLive">From now on, rounded up to whole seconds.</param>
    /// <param name="cancellationToken">Ends the wait, not the touch.</param>
    /// <returns>What became of it.</returns>
    public async ValueTask<TouchOutcome> TouchAsync(
        CacheKey key, TimeSpan timeToLive, CancellationToken cancellationToken = default)
    {
        var request = new Request(Op.Touch) { Key = key, TtlMs = Request.Milliseconds("ttl", timeToLive) };
        return Results.Outcome<TouchOutcome>(await Connection.StatusAsync(request, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>
    /// Looks at what the cache stands on, such as the settings of a cluster. Takes some seconds at most.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>What was found.</returns>
    public async ValueTask<IReadOnlyList<Finding>> DiagnoseAsync(CancellationToken cancellationToken = default)
    {
        var result = await Connection.Submit(new Request(Op.Diagnose), cancellationToken).ConfigureAwait(false);
        try
        {
            result.ThrowIfFailed();
            var findings = JsonSerializer.Deserialize(result.ValueSpan(), FindingsContext.Default.Findings)!.All;
            // Nothing to do is null there.
            return [.. findings.Select(finding => finding with { Advice = finding.Advice ?? "" })];
        }
        finally
        {
            result.Free();
        }
    }

    /// <summary>
    /// Takes no new calls, gives those under way at most <see cref="GenfenceSettings.CloseTimeout"/> to end, and frees
    /// everything. Loads may still fill, and updates commit; each call that is not done by then ends with
    /// <see cref="GenfenceShutDownException"/>. A reservation of <see cref="ReserveAsync"/> is not waited for, and a load in the
    /// background (<see cref="GenfenceSettings.RefreshAt"/>) is cancelled. A handle of <see cref="Tagged"/> ends nothing.
    /// </summary>
    /// <returns>When it is done.</returns>
    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await Close(_options.CloseTimeout).ConfigureAwait(false);
    }

    /// <summary>Begins what <see cref="DisposeAsync"/> does, and does not wait for it.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        _ = Close(_options.CloseTimeout);
    }

    private async Task Close(TimeSpan within)
    {
        if (_of is not null)
        {
            return;
        }
        Telemetry.Remove(this);
        var first = Interlocked.Exchange(ref _closed, 1) == 0;
        var closing = Connection.CloseAsync(within);
        // Not before it is closed, so that what ends by it knows why.
        _ = _background.CancelAsync();
        await closing.ConfigureAwait(false);
        if (first && _options.LoggerFactory is { } factory)
        {
            NativeLog.Remove(factory);
        }
    }
}
