using Microsoft.Extensions.Caching.Hybrid;

namespace Genfence.Tests.Hybrid;

internal static partial class HybridCases
{
    private static readonly string[] s_alike = ["hat", "Hat", "h\u00e4t", "ha\u0308t"];

    public static IEnumerable<HybridCase> Tags => new HybridCase[]
    {
        new("loads anew what was removed by its tag, once", async world =>
        {
            await world.GetAsync("k", "a", tags: ["t"]);
            await world.RemoveByTagAsync("t");
            return $"{await world.KeptAsync("k")} {await world.GetAsync("k", "b", tags: ["t"])} {await world.GetAsync("k", "c", tags: ["t"])}, "
                + $"loads: {world.Loads}";
        }, "nothing b b, loads: 2"),

        new("removes by any tag of a value, and nothing else", async world =>
        {
            await world.GetAsync("ab", "ab", tags: ["a", "b"]);
            await world.GetAsync("bc", "bc", tags: new HashSet<string> { "b", "c" });
            await world.GetAsync("none", "none");
            await world.RemoveByTagAsync("a");
            var first = await AllKeptAsync(world, "ab", "bc", "none");
            await world.RemoveByTagAsync("c");
            return $"{first}; {await AllKeptAsync(world, "ab", "bc", "none")}";
        }, "nothing bc none; nothing nothing none"),

        new("removes by several tags at once", async world =>
        {
            await world.GetAsync("a", "a", tags: ["a"]);
            await world.GetAsync("b", "b", tags: ["b"]);
            await world.GetAsync("c", "c", tags: ["c", "c"]);
            await world.RemoveByTagAsync("a", "c", "unknown", "a");
            return await AllKeptAsync(world, "a", "b", "c");
        }, "nothing b nothing"),

        new("removes all by the tag that all values bear", async world =>
        {
            await world.GetAsync("a", "a", tags: ["a"]);
            await world.SetAsync("none", "none");
            await world.RemoveByTagAsync("*");
            return $"{await AllKeptAsync(world, "a", "none")}, {await world.GetAsync("none", "again")} {await world.KeptAsync("none")}";
        }, "nothing nothing, again again"),

        new("removes all by that tag beside others", async world =>
        {
            await world.SetAsync("none", "none");
            await world.RemoveByTagAsync("a", "*");
            return await world.KeptAsync("none");
        }, "nothing"),

        new("gives what is set the tags of that set alone", async world =>
        {
            await world.SetAsync("again", "a", tags: ["a"]);
            await world.SetAsync("again", "b", tags: ["b"]);
            await world.SetAsync("without", "a", tags: ["a"]);
            await world.SetAsync("without", "b");
            await world.RemoveByTagAsync("a");
            var first = await AllKeptAsync(world, "again", "without");
            await world.RemoveByTagAsync("b");
            return $"{first}; {await AllKeptAsync(world, "again", "without")}";
        }, "b b; nothing b"),

        new("keeps the tags that a value was stored with, whatever a later hit says", async world =>
        {
            await world.GetAsync("k", "a", tags: ["a"]);
            await world.GetAsync("k", "a", tags: ["b"]);
            await world.RemoveByTagAsync("b");
            var first = await world.KeptAsync("k");
            await world.RemoveByTagAsync("a");
            return $"{first} {await world.KeptAsync("k")}";
        }, "a nothing"),

        new("takes no tags for none", async world =>
        {
            await world.GetAsync("null", "null", tags: null);
            await world.GetAsync("empty", "empty", tags: []);
            await world.GetAsync("unlisted", "unlisted", tags: Enumerable.Empty<string>().Where(tag => tag.Length > 0));
            await world.RemoveByTagAsync("t");
            return await AllKeptAsync(world, "null", "empty", "unlisted");
        }, "null empty unlisted"),

        new("keeps letters, large and small, and those beyond ASCII, apart", async world =>
        {
            foreach (var tag in s_alike)
            {
                await world.GetAsync(tag, tag, tags: [tag]);
            }
            await world.RemoveByTagAsync(s_alike[1], s_alike[2]);
            return await AllKeptAsync(world, s_alike);
        }, "hat nothing nothing ha\u0308t"),

        new("removes what has a time to live of its own", async world =>
        {
            await world.GetAsync("k", "a", For(60), tags: ["t"]);
            await world.RemoveByTagAsync("t");
            return await world.KeptAsync("k");
        }, "nothing"),

        new("removes what was loaded past the cache", async world =>
        {
            await world.GetAsync("k", "a", HybridCase.Flagged(Reads), tags: ["t"]);
            var kept = await world.KeptAsync("k");
            await world.RemoveByTagAsync("t");
            return $"{kept} {await world.KeptAsync("k")}";
        }, "a nothing"),

        new("keeps nothing that was loaded across a removal by its tag", async world =>
        {
            var held = new HeldFactory<string>();
            var caller = held.GetAsync(world.Cache, tags: ["t"]);
            await held.Begun;
            await world.RemoveByTagAsync("t");
            held.Answer("old");
            return $"{await caller.WaitAsync(Support.Patience)} {await world.KeptAsync("k")}";
        }, "old nothing") { Microsoft = "old old" },

        new("keeps nothing that was loaded across a removal of all", async world =>
        {
            var held = new HeldFactory<string>();
            var caller = held.GetAsync(world.Cache);
            await held.Begun;
            await world.RemoveByTagAsync("*");
            held.Answer("old");
            return $"{await caller.WaitAsync(Support.Patience)} {await world.KeptAsync("k")}";
        }, "old nothing") { Microsoft = "old old" },

        new("asks the source for who comes after a removal by tag, though a factory runs", async world =>
        {
            var held = new HeldFactory<string>();
            var first = held.GetAsync(world.Cache, tags: ["t"]);
            await held.Begun;
            await world.RemoveByTagAsync("t");
            var second = held.GetAsync(world.Cache, tags: ["t"]);
            await world.WaitingAsync(2);
            held.Answer("a");
            await Task.WhenAll(first, second).WaitAsync(Support.Patience);
            return $"loads: {held.Loads}";
        }, "loads: 2") { Microsoft = "loads: 1" },

        Tag("null", null, "ArgumentException ArgumentException, removes nothing"),
        Tag("an empty one", "", "ArgumentException ArgumentException, removes nothing"),
        Tag("blanks", "  ", "ArgumentException ArgumentException, removes nothing"),
        Tag("the one of all values", "*", "ArgumentException ArgumentException, removes all"),
        Tag("256 letters", new string('t', 256), "a set, removes nothing"),
        Tag("257 letters", new string('t', 257), "GenfenceInvalidException GenfenceInvalidException, GenfenceInvalidException",
            microsoft: "a set, removes nothing"),
        Tag("half a surrogate", "a\ud800", "GenfenceInvalidException GenfenceInvalidException, GenfenceInvalidException",
            microsoft: "a set, removes nothing"),

        new("bears 32 tags", async world => await HybridWorld.TellAsync(() => new ValueTask<string>(world.GetAsync("k", "a", tags: Many(32)))), "a"),
        new("bears more than 32 tags", async world =>
            await HybridWorld.TellAsync(() => new ValueTask<string>(world.GetAsync("k", "a", tags: Many(33)))),
            "GenfenceInvalidException") { Microsoft = "a" },

        new("removes nothing by no tags", async world =>
        {
            await world.SetAsync("k", "a", tags: ["t"]);
            var none = await HybridWorld.TellAsync(() => world.Cache.RemoveByTagAsync((IEnumerable<string>)null!));
            await world.Cache.RemoveByTagAsync([]).Within();
            return $"{none} {await world.KeptAsync("k")}";
        }, "done a"),
    }.Select(one => one with { Tags = true });

    private static IEnumerable<string> Many(int count) => Enumerable.Range(0, count).Select(tag => $"t{tag}");

    private static async Task<string> AllKeptAsync(HybridWorld world, params string[] keys)
    {
        var kept = new List<string>();
        foreach (var key in keys)
        {
            kept.Add(await world.KeptAsync(key));
        }
        return string.Join(' ', kept);
    }

    /// <summary>A get and a set of a value that bears it beside another, and a removal by it.</summary>
    private static HybridCase Tag(string what, string? tag, string answer, string? microsoft = null) => new(
        $"does with a tag of {what}",
        async world =>
        {
            var got = await HybridWorld.TellAsync(() => new ValueTask<string>(world.GetAsync("got", "a", tags: ["t", tag!])));
            var set = await HybridWorld.TellAsync(async () =>
            {
                await world.SetAsync("set", "set", tags: [tag!]);
                return "set";
            });
            await world.SetAsync("other", "other", tags: ["t"]);
            var removed = await HybridWorld.TellAsync(async () =>
            {
                await world.RemoveByTagAsync(tag!);
                return $"removes {(await world.KeptAsync("other") == "other" ? "nothing" : "all")}";
            });
            return $"{got} {set}, {removed}";
        },
        answer)
    { Microsoft = microsoft };
}
