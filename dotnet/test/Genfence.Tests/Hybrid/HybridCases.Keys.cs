namespace Genfence.Tests.Hybrid;

internal static partial class HybridCases
{
    public static IEnumerable<HybridCase> Keys =>
    [
        Key("none at all", null, "loads: 2, logged, set: done nothing, remove: done nothing",
            microsoft: "loads: 2, logged, set: done nothing, remove: ArgumentNullException nothing"),
        Key("an empty key", "", "loads: 2, logged, set: done nothing, remove: done nothing"),
        Key("a key of blanks", "  ", "loads: 1, silently, set: done set, remove: done nothing",
            microsoft: "loads: 2, logged, set: done nothing, remove: done nothing"),
        Key("a key of 1024 letters", new string('k', 990), "loads: 1, silently, set: done set, remove: done nothing"),
        Key("a key of 1025 letters", new string('k', 1025), "loads: 2, logged, set: done nothing, remove: done nothing"),
        Key("a key with a control character", "a\tb", "loads: 1, silently, set: done set, remove: done nothing",
            microsoft: "loads: 2, logged, set: done nothing, remove: done nothing"),
        Key("a key with a zero", "a\0b", "loads: 1, silently, set: done set, remove: done nothing",
            microsoft: "loads: 2, logged, set: done nothing, remove: done nothing"),
        Key("a key with a delete character", "a\u007fb", "loads: 1, silently, set: done set, remove: done nothing"),
        Key("a key with half a surrogate", "a\ud800", "loads: 2, logged, set: done nothing, remove: done nothing",
            local: "loads: 1, silently, set: done set, remove: done nothing",
            layered: "loads: 1, logged, set: done set, remove: done nothing"),
        Key("a key that is short in letters and long in bytes", new string('\u00e9', 900),
            "loads: 2, logged, set: done nothing, remove: done nothing",
            microsoft: "loads: 1, silently, set: done set, remove: done nothing"),
        Key("a key beyond the ASCII letters", "schl\u00fcssel", "loads: 1, silently, set: done set, remove: done nothing"),

        new("runs no factory without underlying data, also where the key is none", async world =>
            $"{await world.KeptAsync("")} {await world.KeptAsync(null!)} {await world.KeptAsync(new string('k', 2000))}",
            "nothing nothing nothing"),
    ];

    /// <summary>Two gets, a set with what is kept then, and a remove; what was logged.</summary>
    private static HybridCase Key(
        string what, string? key, string answer, string? microsoft = null, string? local = null, string? layered = null) => new(
        $"does with {what}",
        async world =>
        {
            await world.GetAsync(key!, "a");
            await world.GetAsync(key!, "b");
            var lines = world.Lines.Written.Count;
            var set = await HybridWorld.TellAsync(() => world.Cache.SetAsync(key!, "set"));
            var kept = await world.KeptAsync(key!);
            var removed = await HybridWorld.TellAsync(() => world.Cache.RemoveAsync(key!));
            return $"loads: {world.Loads}, {(lines == 0 ? "silently" : "logged")}, set: {set} {kept}, "
                + $"remove: {removed} {await world.KeptAsync(key!)}";
        },
        answer)
        { Microsoft = microsoft, Local = local, Layered = layered };
}
