using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using Genfence.Native;
using Microsoft.Extensions.Logging;

namespace Genfence;

// One load for all who wait in this process.
public sealed partial class GenfenceCache
{
    /// <param name="key">The key.</param>
    /// <param name="loader">Reads the source.</param>
    /// <param name="serializer">Of the value.</param>
    /// <param name="flags">Of the load, and of what is loaded.</param>
    /// <param name="cancellation">Of this caller.</param>
    private ValueTask<T?> GetOrLoadAsync<TLoader, T>(
        CacheKey key, TLoader loader, IGenfenceSerializer<T> serializer, uint flags, CancellationToken cancellation)
        where TLoader : struct, ILoader<T> =>
        (flags & Flags.Unread) == 0 && TryHit(key, loader, serializer, flags, cancellation, out var value)
            ? new(value)
            : LoadForAllAsync(key, loader, serializer, flags, cancellation);

    /// <summary>The value, if it is had without waiting, and can be read. It is loaded anew where that is due.</summary>
    private bool TryHit<TLoader, T>(
        in CacheKey key, TLoader loader, IGenfenceSerializer<T> serializer, uint flags, CancellationToken cancellation, out T? value)
        where TLoader : struct, ILoader<T>
    {
        var isHit = TryHit(key, serializer, cancellation, out value, out var due);
        if (isHit && due != 0 && flags == 0)
        {
            LoadBehind(key, due, loader, serializer);
        }
        return isHit;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<T?> LoadForAllAsync<TLoader, T>(
        CacheKey key, TLoader loader, IGenfenceSerializer<T> serializer, uint flags, CancellationToken cancellation)
        where TLoader : struct, ILoader<T>
    {
        // Two versions of a program may go on writing over each other's bytes: the second time the source answers.
        for (var again = false; ; again = true)
        {
            var request = new Request(Op.Load) { Key = key, Tags = _tags, Near = _near, Flags = flags & Flags.Unread };
            var found = await Connection.Submit(request, cancellation).ConfigureAwait(false);
            bool unreadable;
            bool isStored;
            nint lease;
            ExceptionDispatchInfo? failure = null;
            try
            {
                found.ThrowIfFailed();
                unreadable = found.Status == Status.Hit;
                if (unreadable && TryRead(found, serializer, out var value))
                {
                    if (Due(found) is var due && due != 0 && flags == 0)
                    {
                        LoadBehind(key, due, loader, serializer);
                    }
                    return value;
                }
                if (found.Status == Status.LoadFailed)
                {
                    failure = Connection.Failures.Take(found.ValueSpan());
                }
                else if (!unreadable && found.Status != Status.Leased)
                {
                    throw Results.Unknown(found.Status);
                }
                isStored = found.Detail == 0 && flags == 0;
                lease = found.TakeLease();
            }
            finally
            {
                found.Free();
            }
            failure?.Throw();
            if (unreadable && !again)
            {
                await InvalidateAsync(key, null, cancellation).ConfigureAwait(false);
                continue;
            }
            if (lease == 0)
            {
                return (await ReadSourceAsync<TLoader, T>(loader, false, cancellation).ConfigureAwait(false)).Value;
            }
            var load = new Load<TLoader, T>(this, key, new Lease(this, lease), loader, serializer, isStored, flags);
            return cancellation.CanBeCanceled
                ? await load.RunAsync(cancellation).ConfigureAwait(false)
                : await load.RunToEndAsync(default, default).ConfigureAwait(false);
        }
    }

    private async ValueTask<Fresh<T>> ReadSourceAsync<TLoader, T>(TLoader loader, bool isStored, CancellationToken cancellation)
        where TLoader : struct, ILoader<T>
    {
        using var activity = Telemetry.Activities.StartActivity("genfence.load");
        activity?.SetTag("genfence.leased", isStored);
        var started = Stopwatch.GetTimestamp();
        var fresh = await BoundedAsync(loader, static (loader, cancellation) => loader.LoadAsync(cancellation), cancellation)
            .ConfigureAwait(false);
        Telemetry.Loaded(this, started);
        return fresh;
    }

    /// <summary>Gives a lease up, and an exception to those who waited for what is loaded under it.</summary>
    private async ValueTask FailAsync(Lease lease, Exception problem)
    {
        var number = Connection.Failures.Add(problem);
        var told = 0;
        try
        {
            var request = new Request(Op.LoadFailed) { Lease = lease.Handle, Value = number };
            var failed = await Connection.Submit(request, CancellationToken.None).ConfigureAwait(false);
            told = Math.Max(0, failed.Detail);
            failed.Free();
        }
        catch (GenfenceShutDownException)
        {
            // Those who wait hear of that.
        }
        Connection.Failures.Told(number, told);
    }

    [LoggerMessage(2, LogLevel.Warning, "a loaded value could not be stored: {Problem}")]
    private static partial void NotStored(ILogger logger, string problem);

    /// <summary>One load, whose lease it disposes.</summary>
    private readonly struct Load<TLoader, T>(
        GenfenceCache cache,
        CacheKey key,
        Lease lease,
        TLoader loader,
        IGenfenceSerializer<T> serializer,
        bool isStored,
        uint flags)
        where TLoader : struct, ILoader<T>
    {
        /// <summary>Ends when its caller cancels. The load goes on until nobody waits for it any more, and is cancelled then.</summary>
        public async ValueTask<T?> RunAsync(CancellationToken caller)
        {
            // Disposed of by nobody: it has no timer, and the factory may use its token to the end.
            var source = new CancellationTokenSource();
            var running = RunToEndAsync(source.Token, caller).AsTask();
            try
            {
                return await running.WaitAsync(caller).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (caller.IsCancellationRequested && !running.IsCompleted)
            {
                var (orphans, hash) = (cache.Connection.Orphans, key.Hash());
                var (connection, held) = (cache.Connection, lease);
                orphans.Add(hash, () => IsAwaited(held) && connection.Awaits(hash), source);
                _ = running.ContinueWith(
                    _ => orphans.Remove(source), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
                running.Unobserved();
                throw;
            }
        }

        public async ValueTask<T?> RunToEndAsync(CancellationToken cancellation, CancellationToken caller)
        {
            using (lease)
            {
                Fresh<T> fresh;
                try
                {
                    fresh = await cache.ReadSourceAsync<TLoader, T>(loader, isStored, cancellation).ConfigureAwait(false);
                }
                catch (Exception) when (caller.IsCancellationRequested)
                {
                    // It is its caller's own affair: the next who waits loads.
                    throw;
                }
                catch (Exception problem) when (problem is not OutOfMemoryException)
                {
                    await cache.FailAsync(lease, problem).ConfigureAwait(false);
                    throw;
                }
                await ShareAsync(fresh).ConfigureAwait(false);
                return fresh.Value;
            }
        }

        private async ValueTask ShareAsync(Fresh<T> fresh)
        {
            var request = cache.TrySerialize(fresh.Value, serializer, out var bytes)
                ? new Request(Op.Loaded) { Flags = (flags & Flags.Unstored) | Oversized(bytes), Lease = lease.Handle }
                    .With(bytes, fresh.Version, fresh.TimeToLive)
                : new Request(Op.LoadFailed) { Lease = lease.Handle, Value = SharedFailures.None };
            try
            {
                (await cache.Connection.StatusAsync(request, CancellationToken.None).ConfigureAwait(false)).MustBe(Status.Done);
            }
            catch (GenfenceShutDownException problem)
            {
                // The caller has the value all the same.
                NotStored(cache.Logger, problem.Message);
            }
        }

        /// <summary>What is too large goes to those who wait, and is not stored.</summary>
        private uint Oversized(ReadOnlyMemory<byte>? bytes) =>
            (flags & Flags.Unstored) == 0 && bytes is { } written && serializer is IBoundedSerializer bounded
            && !bounded.IsWithin(written.Length)
                ? Flags.Unstored
                : 0;

        /// <summary>
        /// As the native library sees it, for which also those wait who have cancelled; so it is not the last word.
        /// </summary>
        private static bool IsAwaited(Lease lease)
        {
            try
            {
                return lease.IsAwaited;
            }
            catch (ObjectDisposedException)
            {
                return false;
            }
        }
    }
}
