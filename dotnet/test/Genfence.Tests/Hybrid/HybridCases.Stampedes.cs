using Microsoft.Extensions.Caching.Hybrid;

namespace Genfence.Tests.Hybrid;

internal static partial class HybridCases
{
    private const int Callers = 20;

    public static IEnumerable<HybridCase> Stampedes =>
    [
        new("asks the source once for many who come together", async world =>
        {
            var (held, callers) = await TogetherAsync(world, _ => default);
            held.Answer("a");
            return $"{await AllAsync(callers)}, loads: {held.Loads}";
        }, "a x 20, loads: 1"),

        new("asks the source once for many who may cancel", async world =>
        {
            using var source = new CancellationTokenSource();
            var (held, callers) = await TogetherAsync(world, _ => source.Token);
            held.Answer("a");
            return $"{await AllAsync(callers)}, loads: {held.Loads}";
        }, "a x 20, loads: 1"),

        new("gives one exception to many who come together", async world =>
        {
            var (held, callers) = await TogetherAsync(world, _ => default);
            held.Fail(new FormatException());
            // Ours lets those who came while the source was asked ask once more, all together.
            return $"{await AllAsync(callers)}, {(world.IsOurs ? held.Loads <= 2 : held.Loads == 1)}";
        }, "FormatException x 20, True"),

        new("goes on for the others when one who waits cancels", async world =>
        {
            using var source = new CancellationTokenSource();
            var (held, callers) = await TogetherAsync(world, caller => caller == 5 ? source.Token : default);
            await source.CancelAsync();
            var gone = await HybridWorld.TellAsync(() => new ValueTask<string>(callers[5]));
            var open = callers.Count(caller => !caller.IsCompleted);
            held.Answer("a");
            return $"{gone}, {open} wait, {await AllAsync(callers.Where((_, index) => index != 5))}, {held.IsCancelled}, loads: {held.Loads}";
        }, "OperationCanceledException, 19 wait, a x 19, False, loads: 1"),

        new("goes on for the others when the one who loads cancels", async world =>
        {
            using var source = new CancellationTokenSource();
            using var others = new CancellationTokenSource();
            var (held, callers) = await TogetherAsync(world, caller => caller == 0 ? source.Token : others.Token);
            await source.CancelAsync();
            var gone = await HybridWorld.TellAsync(() => new ValueTask<string>(callers[0]));
            held.Answer("a");
            return $"{gone}, {await AllAsync(callers.Skip(1))}, {held.IsCancelled}, loads: {held.Loads}";
        }, "TaskCanceledException, a x 19, False, loads: 1") { Microsoft = "OperationCanceledException, a x 19, False, loads: 1" },

        .. new (string Name, Func<int, bool> IsFirst)[]
        {
            ("the one who loads", caller => caller == 0),
            ("those who wait", caller => caller != 0),
            ("half of them", caller => caller % 2 == 0),
        }.Select(order => new HybridCase($"cancels the factory when all have cancelled, and {order.Name} first", async world =>
        {
            using var first = new CancellationTokenSource();
            using var last = new CancellationTokenSource();
            var (held, callers) = await TogetherAsync(world, caller => order.IsFirst(caller) ? first.Token : last.Token);
            await first.CancelAsync();
            await AllAsync(callers.Where((_, caller) => order.IsFirst(caller)));
            var early = held.IsCancelled;
            await last.CancelAsync();
            await held.Cancelled;
            await AllAsync(callers);
            return $"early: {early}, then {await world.GetAsync("k", "next")}, loads: {held.Loads}";
        }, "early: False, then next, loads: 1")),

        new("cancels no factory of another key", async world =>
        {
            using var source = new CancellationTokenSource();
            var (held, callers) = await TogetherAsync(world, _ => source.Token);
            var other = new HeldFactory<string>();
            var goesOn = other.GetAsync(world.Cache, "other");
            await other.Begun;
            await source.CancelAsync();
            await held.Cancelled;
            await AllAsync(callers);
            other.Answer("other");
            return $"{await goesOn.WaitAsync(Support.Patience)}, {other.IsCancelled}";
        }, "other, False"),

        new("does not give the caller's token to the factory", async world =>
        {
            using var source = new CancellationTokenSource();
            return await world.Cache.GetOrCreateAsync(
                "k", cancellation => ValueTask.FromResult($"{cancellation == source.Token} {cancellation.CanBeCanceled}"),
                cancellationToken: source.Token).Within();
        }, "False True"),

        new("loads again for one who comes after all have cancelled", async world =>
        {
            using var source = new CancellationTokenSource();
            var (held, callers) = await TogetherAsync(world, _ => source.Token);
            await source.CancelAsync();
            await held.Cancelled;
            await AllAsync(callers);
            return $"{await world.GetAsync("k", "next")} {await world.KeptAsync("k")}";
        }, "next next"),
    ];

    /// <summary>One who loads, and others who have come to wait for it.</summary>
    private static async Task<(HeldFactory<string> Held, Task<string>[] Callers)> TogetherAsync(
        HybridWorld world, Func<int, CancellationToken> token)
    {
        var held = new HeldFactory<string>();
        var first = held.GetAsync(world.Cache, caller: token(0));
        await held.Begun;
        var others = Enumerable.Range(1, Callers - 1).Select(caller => held.GetAsync(world.Cache, caller: token(caller))).ToArray();
        await world.WaitingAsync(Callers);
        return (held, [first, .. others]);
    }

    /// <summary>What all came to, which is alike.</summary>
    private static async Task<string> AllAsync(IEnumerable<Task<string>> callers)
    {
        var told = new List<string>();
        foreach (var caller in callers)
        {
            told.Add(await HybridWorld.TellAsync(() => new ValueTask<string>(caller)));
        }
        return string.Join(", ", told.GroupBy(one => one).Select(group => $"{group.Key} x {group.Count()}"));
    }
}
