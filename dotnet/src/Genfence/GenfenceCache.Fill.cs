using System.Diagnostics;
using System.Runtime.CompilerServices;
using Genfence.Native;
using Microsoft.Extensions.Logging;

namespace Genfence;

public sealed partial class GenfenceCache
{
    /// <summary>
    /// The value of a key: from the cache, or from the source, and then the cache is filled. One caller in all
    /// processes reads the source; the others wait for it, at most for the option <c>wait</c>.
    /// </summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="factory">
    /// Reads the source's latest committed state. <see langword="null"/> says that the source has nothing, which is
    /// remembered. An exception goes to the caller, and another caller may fill.
    /// </param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends the wait, and goes to the factory.</param>
    /// <returns>The value; the type's default where the source has nothing.</returns>
    /// <remarks>
    /// A value that is too large, that the serializer cannot write, or that the store does not take, is returned all the
    /// same. A cached value that cannot be read as <typeparamref name="T"/> is removed and loaded anew. Either is logged
    /// once for each type.
    /// </remarks>
    public ValueTask<T?> GetOrFillAsync<T>(
        CacheKey key,
        Func<CancellationToken, ValueTask<T>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        return FillAsync(key, new PlainLoader<T>(factory), serializer ?? Serializer<T>(), cancellationToken);
    }

    /// <inheritdoc cref="GetOrFillAsync{T}(CacheKey, Func{CancellationToken, ValueTask{T}}, IGenfenceSerializer{T}, CancellationToken)"/>
    /// <typeparam name="TState">The state's type.</typeparam>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="state">Goes to the factory, so that it need not capture anything.</param>
    /// <param name="factory">Reads the source's latest committed state.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends the wait, and goes to the factory.</param>
    public ValueTask<T?> GetOrFillAsync<TState, T>(
        CacheKey key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        var loader = new StateLoader<TState, T>(state, factory);
        return FillAsync(key, loader, serializer ?? Serializer<T>(), cancellationToken);
    }

    /// <inheritdoc cref="GetOrFillAsync{T}(CacheKey, Func{CancellationToken, ValueTask{T}}, IGenfenceSerializer{T}, CancellationToken)"/>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="factory">Reads the source's latest committed state, with its version or a time to live.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends the wait, and goes to the factory.</param>
    [OverloadResolutionPriority(1)] // A lambda that only throws would fit both.
    public ValueTask<T?> GetOrFillAsync<T>(
        CacheKey key,
        Func<CancellationToken, ValueTask<Fresh<T>>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        return FillAsync(key, new FreshLoader<T>(factory), serializer ?? Serializer<T>(), cancellationToken);
    }

    /// <inheritdoc cref="GetOrFillAsync{T}(CacheKey, Func{CancellationToken, ValueTask{T}}, IGenfenceSerializer{T}, CancellationToken)"/>
    /// <typeparam name="TState">The state's type.</typeparam>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="state">Goes to the factory, so that it need not capture anything.</param>
    /// <param name="factory">Reads the source's latest committed state, with its version or a time to live.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends the wait, and goes to the factory.</param>
    [OverloadResolutionPriority(1)] // A lambda that only throws would fit both.
    public ValueTask<T?> GetOrFillAsync<TState, T>(
        CacheKey key,
        TState state,
        Func<TState, CancellationToken, ValueTask<Fresh<T>>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        var loader = new FreshStateLoader<TState, T>(state, factory);
        return FillAsync(key, loader, serializer ?? Serializer<T>(), cancellationToken);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<T?> FillAsync<TLoader, T>(
        CacheKey key, TLoader loader, IGenfenceSerializer<T> serializer, CancellationToken cancellation)
        where TLoader : struct, ILoader<T>
    {
        // Two versions of a program may go on writing over each other's bytes: the second time the source answers.
        for (var again = false; ; again = true)
        {
            var lookup = new Request(Op.Lookup) { Key = key };
            var found = await Connection.Submit(lookup, cancellation).ConfigureAwait(false);
            bool unreadable;
            nint lease;
            try
            {
                found.ThrowIfFailed();
                unreadable = found.Status == Status.Hit;
                if (unreadable && TryRead(found, serializer, out var value))
                {
                    return value;
                }
                lease = found.TakeLease();
            }
            finally
            {
                found.Free();
            }
            if (!unreadable || again)
            {
                using var taken = lease == 0 ? null : new Lease(this, lease);
                return await LoadAsync(taken, loader, serializer, cancellation).ConfigureAwait(false);
            }
            await InvalidateAsync(key, null, cancellation).ConfigureAwait(false);
        }
    }

    private async ValueTask<T?> LoadAsync<TLoader, T>(
        Lease? lease, TLoader loader, IGenfenceSerializer<T> serializer, CancellationToken cancellation)
        where TLoader : struct, ILoader<T>
    {
        Fresh<T> fresh;
        using (var activity = Telemetry.Activities.StartActivity("genfence.load"))
        {
            activity?.SetTag("genfence.leased", lease is not null);
            var started = Stopwatch.GetTimestamp();
            fresh = await loader.LoadAsync(cancellation).ConfigureAwait(false);
            Telemetry.Loaded(this, started);
        }
        if (lease is not null && TrySerialize(fresh.Value, serializer, out var bytes))
        {
            var request = new Request(Op.Fill) { Lease = lease.Handle }
                .With(bytes, fresh.Version, fresh.TimeToLive);
            try
            {
                _ = await Connection.StatusAsync(request, cancellation).ConfigureAwait(false);
            }
            catch (Exception problem) when (IsStillLoaded(problem))
            {
                TellNotStored(problem);
            }
        }
        return fresh.Value;
    }

    /// <summary>Whether the caller has the value all the same; else it passed something wrong.</summary>
    private static bool IsStillLoaded(Exception problem) =>
        problem is GenfenceShutDownException or (GenfenceException and not GenfenceInvalidException { Field: not "value" });

    /// <summary>Of a value that is too large there is a line of the native library's already.</summary>
    private void TellNotStored(Exception problem)
    {
        if (problem is not GenfenceInvalidException)
        {
            NotStored(Logger, problem.Message);
        }
    }

    [LoggerMessage(2, LogLevel.Warning, "a loaded value could not be stored: {Problem}")]
    private static partial void NotStored(ILogger logger, string problem);

    private interface ILoader<T>
    {
        ValueTask<Fresh<T>> LoadAsync(CancellationToken cancellation);
    }

    private readonly struct PlainLoader<T>(Func<CancellationToken, ValueTask<T>> load) : ILoader<T>
    {
        public async ValueTask<Fresh<T>> LoadAsync(CancellationToken cancellation) =>
            new(await load(cancellation).ConfigureAwait(false));
    }

    private readonly struct StateLoader<TState, T>(
        TState state, Func<TState, CancellationToken, ValueTask<T>> load) : ILoader<T>
    {
        public async ValueTask<Fresh<T>> LoadAsync(CancellationToken cancellation) =>
            new(await load(state, cancellation).ConfigureAwait(false));
    }

    private readonly struct FreshLoader<T>(Func<CancellationToken, ValueTask<Fresh<T>>> load) : ILoader<T>
    {
        public ValueTask<Fresh<T>> LoadAsync(CancellationToken cancellation) => load(cancellation);
    }

    private readonly struct FreshStateLoader<TState, T>(
        TState state, Func<TState, CancellationToken, ValueTask<Fresh<T>>> load) : ILoader<T>
    {
        public ValueTask<Fresh<T>> LoadAsync(CancellationToken cancellation) => load(state, cancellation);
    }
}
