using Microsoft.Extensions.Caching.Hybrid;

namespace Genfence.Tests.Hybrid;

/// <summary>The cases, by what they are about.</summary>
internal static partial class HybridCases
{
    public static IEnumerable<HybridCase> Basics =>
    [
        new("creates a value once", async world =>
            $"{await world.GetAsync("k", "a")} {await world.GetAsync("k", "b")}, loads: {world.Loads}", "a a, loads: 1"),

        new("gives the state to the factory", async world =>
            await world.Cache.GetOrCreateAsync("k", "state", static (state, _) => ValueTask.FromResult(state)).Within(), "state"),

        new("keeps the value of a factory that was given a state", async world =>
        {
            await world.Cache.GetOrCreateAsync("k", "state", static (state, _) => ValueTask.FromResult(state)).Within();
            return await world.KeptAsync("k");
        }, "state"),

        new("remembers that a source has no object", async world =>
        {
            await world.GetAsync<User?>("k", null);
            return $"{await world.GetAsync<User?>("k", new User("Ada", 36))}, loads: {world.Loads}";
        }, ", loads: 1"),

        new("remembers that a source has no text", async world =>
        {
            var first = await HybridWorld.TellAsync(() => new ValueTask<string?>(world.GetAsync<string?>("k", null)));
            return $"{first}, {await world.GetAsync<string?>("k", "b")}, loads: {world.Loads}";
        }, ", , loads: 1"),

        new("remembers the default of a value type", async world =>
            $"{await world.GetAsync("k", 0)} {await world.GetAsync("k", 1)}, loads: {world.Loads}", "0 0, loads: 1"),

        new("gives the factory's exception to its caller, and keeps nothing", async world =>
        {
            var failed = await HybridWorld.TellAsync(() => world.Cache.GetOrCreateAsync<string>(
                "k", async _ =>
                {
                    await Task.Yield();
                    throw new FormatException();
                }));
            return $"{failed}, {await world.KeptAsync("k")}";
        }, "FormatException, nothing"),

        new("gives the exception of a factory that throws at once to its caller", async world =>
            await HybridWorld.TellAsync(() => world.Cache.GetOrCreateAsync<string>("k", _ => throw new FormatException())),
            "FormatException"),

        new("loads anew after a factory that failed", async world =>
        {
            await HybridWorld.TellAsync(() => world.Cache.GetOrCreateAsync<string>("k", _ => throw new FormatException()));
            return $"{await world.GetAsync("k", "b")} {await world.KeptAsync("k")}";
        }, "b b"),

        new("lets a factory use the cache for another key", async world =>
            await world.Cache.GetOrCreateAsync("k", async _ => $"outer {await world.GetAsync("inner", "inner")}").Within(),
            "outer inner"),

        new("runs nothing for a caller who has cancelled already", async world =>
        {
            var loads = 0;
            var told = await HybridWorld.TellAsync(() => world.Cache.GetOrCreateAsync(
                "k", _ => ValueTask.FromResult($"{++loads}"), cancellationToken: new CancellationToken(true)));
            return $"{told}, loads: {loads}";
        }, "TaskCanceledException, loads: 0") { Microsoft = "OperationCanceledException, loads: 0" },

        new("has what was set", async world =>
        {
            await world.SetAsync("k", "set");
            return $"{await world.GetAsync("k", "b")}, loads: {world.Loads}";
        }, "set, loads: 0"),

        new("has what was set last", async world =>
        {
            await world.GetAsync("k", "a");
            await world.SetAsync("k", "one");
            await world.SetAsync("k", "two");
            return await world.KeptAsync("k");
        }, "two"),

        new("remembers an object that was set to nothing", async world =>
        {
            await world.SetAsync<User?>("k", null);
            return $"{await world.GetAsync<User?>("k", new User("Ada", 36))}, loads: {world.Loads}";
        }, ", loads: 0"),

        new("removes one key", async world =>
        {
            await world.SetAsync("k", "a");
            await world.SetAsync("other", "b");
            await world.RemoveAsync("k");
            return $"{await world.KeptAsync("k")} {await world.KeptAsync("other")}";
        }, "nothing b"),

        new("removes many keys", async world =>
        {
            string[] keys = ["a", "b", "c"];
            foreach (var key in keys)
            {
                await world.SetAsync(key, key);
            }
            await world.Cache.RemoveAsync(["a", "c", "no such"]).Within();
            return $"{await world.KeptAsync("a")} {await world.KeptAsync("b")} {await world.KeptAsync("c")}";
        }, "nothing b nothing"),

        new("removes none of no keys", world =>
            HybridWorld.TellAsync(() => world.Cache.RemoveAsync(Array.Empty<string>())), "done"),

        new("removes a key that is not there", world => HybridWorld.TellAsync(() => world.Cache.RemoveAsync("k")), "done"),

        new("removes what is being loaded, and keeps what its factory read before", async world =>
        {
            var held = new HeldFactory<string>();
            var loading = held.GetAsync(world.Cache);
            await held.Begun;
            await world.RemoveAsync("k");
            held.Answer("from before");
            return $"{await loading.WaitAsync(Support.Patience)}, {await world.KeptAsync("k")}";
        }, "from before, nothing") { Microsoft = "from before, from before" },

        new("takes a value of another type for none", async world =>
        {
            await world.SetAsync("k", "text");
            var got = await HybridWorld.TellAsync(() => new ValueTask<int>(world.GetAsync("k", 7)));
            return $"{got}, loads: {world.Loads}";
        }, "7, loads: 1") { Layered = "JsonException, loads: 0" },
    ];
}

/// <summary>A factory that answers when the case says so.</summary>
internal sealed class HeldFactory<T>
{
    private readonly TaskCompletionSource<T> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _loads;

    public Task Begun => _begun.Task.WaitAsync(Support.Patience);

    /// <summary>Its token was cancelled.</summary>
    public Task Cancelled => _cancelled.Task.WaitAsync(Support.Patience);

    public bool IsCancelled => _cancelled.Task.IsCompleted;

    public int Loads => Volatile.Read(ref _loads);

    public Task<T> GetAsync(HybridCache cache, string key = "k", IEnumerable<string>? tags = null, CancellationToken caller = default) =>
        cache.GetOrCreateAsync(
            key,
            async cancellation =>
            {
                Interlocked.Increment(ref _loads);
                _begun.TrySetResult();
                try
                {
                    return await _answer.Task.WaitAsync(cancellation);
                }
                catch (OperationCanceledException)
                {
                    _cancelled.TrySetResult();
                    throw;
                }
            },
            tags: tags,
            cancellationToken: caller).AsTask();

    public void Answer(T value) => _answer.TrySetResult(value);

    public void Fail(Exception problem) => _answer.TrySetException(problem);
}
