using System.Diagnostics;
using System.Reflection;
using System.Text;
using Genfence.Native;

// Each test counts what is alive in the process, so they take turns.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

namespace Genfence.Tests;

internal static class Support
{
    /// <summary>Far longer than anything here takes; ends a test that hangs.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public static string? Text(CachedValue? value) =>
        value?.Value is { } bytes ? Encoding.UTF8.GetString(bytes) : null;

    public static string Metadata(string key) =>
        typeof(Support).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .First(attribute => attribute.Key == key).Value!;

    public static unsafe NativeLive Live()
    {
        NativeLive live;
        Methods.gf_live_count(&live);
        return live;
    }

    /// <summary>All that the native library gave out must come back, through finalisers at the latest.</summary>
    public static async Task AssertNothingIsAliveAsync()
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            var live = Live();
            if (live.Equals(default(NativeLive)))
            {
                return;
            }
            Assert.True(
                waited.Elapsed < Patience,
                $"still alive: {live.Caches} caches, {live.Queues} queues, {live.Leases} leases, "
                + $"{live.Reservations} reservations, {live.Errors} errors, {live.Values} values, {live.Pending} pending");
            GC.Collect();
            GC.WaitForPendingFinalizers();
            await Task.Delay(1);
        }
    }

    /// <summary>
    /// What nobody waits for any more comes all the same, and is given back: nothing is pending then, and beside caches
    /// and queues nothing alive. Without the help of a finaliser.
    /// </summary>
    public static async Task AssertNothingIsInFlightAsync()
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            var live = Live();
            if ((live.Pending, live.Leases, live.Reservations, live.Errors, live.Values, live.ValueBytes) == (0, 0, 0, 0, 0, 0))
            {
                return;
            }
            Assert.True(
                waited.Elapsed < Patience,
                $"{live.Pending} pending, {live.Leases} leases, {live.Reservations} reservations, {live.Values} values");
            await Task.Delay(1);
        }
    }

    /// <summary>What goes on in the background has come to this.</summary>
    public static async Task UntilAsync(Func<bool> condition)
    {
        var waited = Stopwatch.StartNew();
        while (!condition() && waited.Elapsed < Patience)
        {
            await Task.Delay(1);
        }
    }

    public static async Task<T> Within<T>(this ValueTask<T> task) => await task.AsTask().WaitAsync(Patience);

    public static async Task Within(this ValueTask task) => await task.AsTask().WaitAsync(Patience);
}

/// <summary>A cache for each test; and after it, nothing may be left.</summary>
public abstract class CacheTest : IAsyncLifetime
{
    protected GenfenceCache Cache { get; private set; } = null!;

    protected virtual string Url => "memory://?wait=20s&lease_time=1m";

    /// <summary>Threads of the native library's own.</summary>
    protected virtual int WorkerThreads => 0;

    public virtual async ValueTask InitializeAsync() =>
        Cache = await GenfenceCache.ConnectAsync(Url, new GenfenceOptions { WorkerThreads = WorkerThreads });

    public virtual async ValueTask DisposeAsync()
    {
        await Cache.DisposeAsync();
        Cache = null!;
        await Support.AssertNothingIsAliveAsync();
        GC.SuppressFinalize(this);
    }
}
