using System.Runtime.CompilerServices;
using Genfence.Native;
using Microsoft.Extensions.Logging;

namespace Genfence;

// Stale answers, and how long a load may take.
public sealed partial class GenfenceCache
{
    private long _told;

    /// <summary>
    /// As <c>GetOrFillAsync</c>, for a caller who rather has an old value than none, or than to wait: where the factory
    /// throws, or the store gives no answer and the source neither, it is what this process last knew to be right, if that is no older than the
    /// option <see cref="GenfenceSettings.StaleFor"/>; so it is where it takes longer than <see cref="GenfenceSettings.SoftTimeout"/>, and then
    /// the load goes on in the background, and its value is stored if it can be.
    /// </summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="factory">
    /// Reads the source's latest committed state. It may go on when its caller has a stale answer: let it use nothing that ends with its caller.
    /// </param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends this call at once, without an answer; not a load that goes on in the background.</param>
    /// <returns>The value, or a stale one.</returns>
    /// <remarks>
    /// A stale answer is no hit, and is never stored. It is older than nothing that this cache has committed; but after a release or an
    /// invalidation it is what was there before.
    /// </remarks>
    public ValueTask<Answer<T>> GetOrFillOrStaleAsync<T>(
        CacheKey key,
        Func<CancellationToken, ValueTask<T>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        return GetOrStaleAsync(key, new PlainLoader<T>(factory), serializer ?? Serializer<T>(), cancellationToken);
    }

    /// <inheritdoc cref="GetOrFillOrStaleAsync{T}(CacheKey, Func{CancellationToken, ValueTask{T}}, IGenfenceSerializer{T}, CancellationToken)"/>
    /// <typeparam name="TState">The state's type.</typeparam>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="state">Goes to the factory, so that it need not capture anything.</param>
    /// <param name="factory">Reads the source's latest committed state.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends this call at once, without an answer; not a load that goes on in the background.</param>
    public ValueTask<Answer<T>> GetOrFillOrStaleAsync<TState, T>(
        CacheKey key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        var loader = new StateLoader<TState, T>(state, factory);
        return GetOrStaleAsync(key, loader, serializer ?? Serializer<T>(), cancellationToken);
    }

    /// <inheritdoc cref="GetOrFillOrStaleAsync{T}(CacheKey, Func{CancellationToken, ValueTask{T}}, IGenfenceSerializer{T}, CancellationToken)"/>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="factory">Reads the source's latest committed state, with its version or a time to live.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends this call at once, without an answer; not a load that goes on in the background.</param>
    [OverloadResolutionPriority(1)] // A lambda that only throws would fit both.
    public ValueTask<Answer<T>> GetOrFillOrStaleAsync<T>(
        CacheKey key,
        Func<CancellationToken, ValueTask<Fresh<T>>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        return GetOrStaleAsync(key, new FreshLoader<T>(factory), serializer ?? Serializer<T>(), cancellationToken);
    }

    /// <inheritdoc cref="GetOrFillOrStaleAsync{T}(CacheKey, Func{CancellationToken, ValueTask{T}}, IGenfenceSerializer{T}, CancellationToken)"/>
    /// <typeparam name="TState">The state's type.</typeparam>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="state">Goes to the factory, so that it need not capture anything.</param>
    /// <param name="factory">Reads the source's latest committed state, with its version or a time to live.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends this call at once, without an answer; not a load that goes on in the background.</param>
    [OverloadResolutionPriority(1)] // A lambda that only throws would fit both.
    public ValueTask<Answer<T>> GetOrFillOrStaleAsync<TState, T>(
        CacheKey key,
        TState state,
        Func<TState, CancellationToken, ValueTask<Fresh<T>>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        var loader = new FreshStateLoader<TState, T>(state, factory);
        return GetOrStaleAsync(key, loader, serializer ?? Serializer<T>(), cancellationToken);
    }

    private ValueTask<Answer<T>> GetOrStaleAsync<TLoader, T>(
        CacheKey key, TLoader loader, IGenfenceSerializer<T> serializer, CancellationToken cancellation)
        where TLoader : struct, ILoader<T> =>
        TryHit(key, loader, serializer, 0, cancellation, out var value)
            ? new(new Answer<T>(value))
            : LoadOrStaleAsync(key, loader, serializer, cancellation);

    private async ValueTask<Answer<T>> LoadOrStaleAsync<TLoader, T>(
        CacheKey key, TLoader loader, IGenfenceSerializer<T> serializer, CancellationToken cancellation)
        where TLoader : struct, ILoader<T>
    {
        // Of the load alone: what goes on in the background is not its caller's any more. Disposed of by nobody: it has no timer.
        var source = new CancellationTokenSource();
        Task<T?> loading;
        using (cancellation.UnsafeRegister(static source => _ = ((CancellationTokenSource)source!).CancelAsync(), source))
        {
            loading = LoadForAllAsync(key, loader, serializer, 0, source.Token).AsTask();
            try
            {
                return new(await loading.WaitAsync(Connection.SoftTimeout, cancellation).ConfigureAwait(false));
            }
            catch (Exception problem) when (MayBeStale(problem) && !cancellation.IsCancellationRequested)
            {
                if (await LastKnownAsync(key, serializer).ConfigureAwait(false) is { } known)
                {
                    GoOn(loading, source);
                    return known;
                }
            }
            return new(await loading.WaitAsync(cancellation).ConfigureAwait(false));
        }
    }

    /// <summary>Whether it is the source that does not answer as it should, or the store.</summary>
    private static bool MayBeStale(Exception problem) =>
        problem is not (GenfenceInvalidException or GenfenceShutDownException or OutOfMemoryException);

    private async ValueTask<Answer<T>?> LastKnownAsync<T>(CacheKey key, IGenfenceSerializer<T> serializer)
    {
        var known = await Connection.Submit(new Request(Op.LastKnown) { Key = key }, CancellationToken.None).ConfigureAwait(false);
        try
        {
            known.ThrowIfFailed();
            return known.Status switch
            {
                Status.Stale when TryRead(known, serializer, out var value) =>
                    new Answer<T>(value, TimeSpan.FromMilliseconds(known.RemainingMs)),
                Status.Stale or Status.Miss => null,
                var other => throw Results.Unknown(other),
            };
        }
        finally
        {
            known.Free();
        }
    }

    /// <summary>A load for which nobody waits any more, until it is done or the cache is disposed.</summary>
    private void GoOn<T>(Task<T> loading, CancellationTokenSource source)
    {
        var disposed = _background.Token.UnsafeRegister(
            static source => _ = ((CancellationTokenSource)source!).CancelAsync(), source);
        _ = loading.ContinueWith(
            ended =>
            {
                disposed.Dispose();
                if (ended.Exception?.InnerException is { } problem && !Connection.IsClosed && IsToBeTold())
                {
                    FailedBehind(Logger, problem);
                }
            },
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }

    /// <summary>Of loads that fail one after another, every ten seconds one.</summary>
    private bool IsToBeTold()
    {
        ref var told = ref (_of ?? this)._told;
        var (last, now) = (Volatile.Read(ref told), Environment.TickCount64);
        return (last == 0 || now - last >= 10_000) && Interlocked.CompareExchange(ref told, Math.Max(now, 1), last) == last;
    }

    [LoggerMessage(24, LogLevel.Warning, "a load failed, instead of which a stale value was answered")]
    private static partial void FailedBehind(ILogger logger, Exception problem);

    /// <summary>Runs a factory, and gives it up after the option <c>hard_timeout</c>.</summary>
    private ValueTask<TResult> BoundedAsync<TState, TResult>(
        TState state, Func<TState, CancellationToken, ValueTask<TResult>> load, CancellationToken cancellation) =>
        Connection.HardTimeout == Timeout.InfiniteTimeSpan
            ? load(state, cancellation)
            : WithinAsync(state, load, Connection.HardTimeout, cancellation);

    private static async ValueTask<TResult> WithinAsync<TState, TResult>(
        TState state, Func<TState, CancellationToken, ValueTask<TResult>> load, TimeSpan hard, CancellationToken cancellation)
    {
        var source = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var loading = load(state, source.Token).AsTask();
        try
        {
            return await loading.WaitAsync(hard, CancellationToken.None).ConfigureAwait(false);
        }
        catch (TimeoutException) when (!loading.IsCompleted)
        {
            _ = source.CancelAsync();
            // Nobody looks at what comes of it.
            _ = loading.ContinueWith(
                static ended => ended.Exception,
                CancellationToken.None,
                TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
            throw new GenfenceLoadTimeoutException($"the load took longer than the {hard} that hard_timeout allows");
        }
        finally
        {
            if (loading.IsCompleted)
            {
                source.Dispose();
            }
        }
    }
}
