using System.Buffers;
using System.ComponentModel;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;

namespace Genfence.Tests.Hybrid;

internal static partial class HybridCases
{
    public static IEnumerable<HybridCase> Objects =>
    [
        new("keeps an object that its reader changes as it was", async world =>
        {
            var made = new List<int> { 1 };
            (await world.GetAsync("k", made)).Add(2);
            (await world.GetAsync("k", made)).Add(3);
            return string.Join(' ', await world.GetAsync("k", made));
        }, "1"),

        new("gives the factory's own object to its caller", async world =>
        {
            var made = new List<int> { 1 };
            return $"{ReferenceEquals(made, await world.GetAsync("k", made))}";
        }, "True") { Microsoft = "False" },

        new("gives each reader an object of its own", async world =>
        {
            await world.GetAsync("k", new List<int> { 1 });
            return $"{ReferenceEquals(await world.GetAsync("k", new List<int>()), await world.GetAsync("k", new List<int>()))}";
        }, "False"),

        new("gives all readers one object that says that it never changes", async world =>
        {
            await world.GetAsync("k", new Fixed("a"));
            return $"{ReferenceEquals(await world.GetAsync("k", new Fixed("b")), await world.GetAsync("k", new Fixed("b")))}";
        }, "False") { Microsoft = "True" },

        new("keeps bytes, text, numbers, nested and optional values", async world =>
        {
            await world.SetAsync("bytes", new byte[] { 0, 255 });
            await world.SetAsync("text", "caf\u00e9");
            await world.SetAsync("empty", "");
            await world.SetAsync("number", 1.5m);
            await world.SetAsync<int?>("optional", null);
            await world.SetAsync("nested", new Dictionary<string, User> { ["a"] = new("Ada", 36) });
            return $"{Convert.ToHexString(await world.GetAsync<byte[]>("bytes", []))} {await world.GetAsync("text", "")} "
                + $"'{await world.GetAsync("empty", "x")}' {await world.GetAsync("number", 0m)} '{await world.GetAsync<int?>("optional", 1)}' "
                + $"{(await world.GetAsync("nested", new Dictionary<string, User>()))["a"].Age}, loads: {world.Loads}";
        }, "00FF caf\u00e9 '' 1.5 '' 36, loads: 0"),

        new("writes with the serializer of a type", async world =>
        {
            await world.SetAsync("k", new Marked("value"));
            return $"{await world.GetAsync("k", new Marked("other"))}";
        }, "Marked { Text = value by its own }")
        {
            Services = services => services.AddSingleton<IHybridCacheSerializer<Marked>>(new Marks("its own"))
                .AddSingleton<IHybridCacheSerializerFactory>(new Marks("a factory")),
        },

        new("writes with the serializer of the factory that was added last", async world =>
        {
            await world.SetAsync("k", new Marked("value"));
            return $"{await world.GetAsync("k", new Marked("other"))}";
        }, "Marked { Text = value by the last }")
        {
            Services = services => services.AddSingleton<IHybridCacheSerializerFactory>(new Marks("the first"))
                .AddSingleton<IHybridCacheSerializerFactory>(new Marks("the last")),
        },

        new("returns what cannot be written", async world =>
        {
            var got = await HybridWorld.TellAsync(() => new ValueTask<Marked>(world.GetAsync("k", new Marked("value"))));
            var set = await HybridWorld.TellAsync(() => world.Cache.SetAsync("k", new Marked("value")));
            return $"{got}, {set}, logged: {!world.Lines.Written.IsEmpty}";
        }, "Marked { Text = value }, FormatException, logged: True")
        {
            Microsoft = "FormatException, done, logged: True",
            Services = services => services.AddSingleton<IHybridCacheSerializer<Marked>>(new Marks(null)),
        },

        new("loads anew what cannot be read", async world =>
        {
            await world.SetAsync("k", new Marked("unreadable"));
            var got = await HybridWorld.TellAsync(() => new ValueTask<Marked>(world.GetAsync("k", new Marked("value"))));
            return $"{got}, logged: {!world.Lines.Written.IsEmpty}";
        }, "Marked { Text = value }, logged: True")
        {
            Microsoft = "FormatException, logged: True",
            Services = services => services.AddSingleton<IHybridCacheSerializer<Marked>>(new Marks("x")),
        },

        new("keeps a tuple", async world =>
        {
            await world.SetAsync("k", (1, "a"));
            return (await world.GetAsync("k", (2, "b"))).Item2;
        }, "a"),
    ];

    [ImmutableObject(true)]
    private sealed record Fixed(string Text);

    private sealed record Marked(string Text);

    /// <summary>Adds its name to what it writes; without one it can write nothing. What is unreadable it cannot read.</summary>
    private sealed class Marks(string? name) : IHybridCacheSerializerFactory, IHybridCacheSerializer<Marked>
    {
        public bool TryCreateSerializer<T>([NotNullWhen(true)] out IHybridCacheSerializer<T>? serializer)
        {
            serializer = this as IHybridCacheSerializer<T>;
            return serializer is not null;
        }

        public Marked Deserialize(ReadOnlySequence<byte> source)
        {
            var text = Encoding.UTF8.GetString(source);
            return text.StartsWith("unreadable", StringComparison.Ordinal) ? throw new FormatException() : new Marked(text);
        }

        public void Serialize(Marked value, IBufferWriter<byte> target) =>
            target.Write(Encoding.UTF8.GetBytes($"{value.Text} by {name ?? throw new FormatException()}"));
    }
}
