using Genfence.Native;
using Microsoft.Extensions.Logging;

namespace Genfence;

// Loads in the background, of values that go on being served.
public sealed partial class GenfenceCache
{
    /// <summary>Of loads that are no caller's. Disposed of by nobody: it has no timer.</summary>
    private readonly CancellationTokenSource _background;

    /// <summary>
    /// Loads the value of a hit anew, if nobody else is at it. Returns at once: what must be read of the caller's, as of a key
    /// in a buffer of its own, was read then.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="stamp">Of the hit.</param>
    /// <param name="loader">Reads the source.</param>
    /// <param name="serializer">Of the value.</param>
    private void LoadBehind<TLoader, T>(in CacheKey key, ulong stamp, TLoader loader, IGenfenceSerializer<T> serializer)
        where TLoader : struct, ILoader<T>
    {
        if (Blocking.IsHere)
        {
            // It would wait for the store.
            return;
        }
        try
        {
            var asked = Connection.Submit(new Request(Op.Refresh) { Key = key, Stamp = stamp, Tags = _tags, Near = _near }, CancellationToken.None);
            // Nothing of the caller's goes along, such as what belongs to its request: it may be over before the load is.
            ThreadPool.UnsafeQueueUserWorkItem(new Behind<TLoader, T>(this, asked, loader, serializer), preferLocal: false);
        }
        catch (GenfenceShutDownException)
        {
            // The hit is there all the same.
        }
    }

    /// <inheritdoc cref="LoadBehind{TLoader, T}(in CacheKey, ulong, TLoader, IGenfenceSerializer{T})"/>
    internal void LoadBehind<TState, T>(
        in CacheKey key, ulong stamp, TState state, Func<TState, CancellationToken, ValueTask<Fresh<T>>> factory, IGenfenceSerializer<T> serializer) =>
        LoadBehind(key, stamp, new FreshStateLoader<TState, T>(state, factory), serializer);

    /// <summary>The stamp of a hit that is due to be loaded anew; else 0.</summary>
    private static ulong Due(in NativeResult hit) => (hit.Flags & Flags.Due) != 0 ? hit.Stamp : 0;

    [LoggerMessage(23, LogLevel.Warning, "a value was not loaded anew, and goes on being served")]
    private static partial void NotLoadedAnew(ILogger logger, Exception problem);

    /// <summary>One load in the background.</summary>
    private sealed class Behind<TLoader, T>(
        GenfenceCache cache, ValueTask<NativeResult> asked, TLoader loader, IGenfenceSerializer<T> serializer)
        : IThreadPoolWorkItem
        where TLoader : struct, ILoader<T>
    {
        public void Execute() => _ = RunAsync();

        private async Task RunAsync()
        {
            try
            {
                var lease = await AskAsync().ConfigureAwait(false);
                if (lease != 0)
                {
                    // Nobody waits for it by its key.
                    var load = new Load<TLoader, T>(cache, default, new Lease(cache, lease), loader, serializer, true, 0);
                    await load.RunToEndAsync(cache._background.Token, default).ConfigureAwait(false);
                }
            }
            catch (Exception) when (cache.Connection.IsClosed)
            {
                // It was ended.
            }
            catch (Exception problem) when (problem is not OutOfMemoryException)
            {
                NotLoadedAnew(cache.Logger, problem);
            }
        }

        private async ValueTask<nint> AskAsync()
        {
            var answer = await asked.ConfigureAwait(false);
            try
            {
                answer.ThrowIfFailed();
                return answer.Status switch
                {
                    Status.Leased => answer.TakeLease(),
                    // Another caller is at it, or the value is another one by now.
                    Status.Busy => 0,
                    var other => throw Results.Unknown(other),
                };
            }
            finally
            {
                answer.Free();
            }
        }
    }
}
