using System.Collections.Immutable;
using System.Collections.ObjectModel;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Genfence.Tests;

/// <summary>What is read is what was loaded, or the type is refused before the source is read.</summary>
public sealed partial class JsonTests : CacheTest
{
    [Fact]
    public async Task Data_in_fields_come_back()
    {
        await AssertComesBack((7, "seven"));
        await AssertComesBack<(int, string)?>((7, "seven"));
        await AssertComesBack((1, 2, 3, 4, 5, 6, 7, 8, "nine"));
        await AssertComesBack(new Point { X = 1, Y = 2 });
        await AssertComesBack(new Mixed { Property = "p", Field = "f" });
        var list = new List<(int, string)> { (1, "one"), (2, "two") };
        await Cache.GetOrFillAsync("list", _ => ValueTask.FromResult(list)).Within();
        Assert.Equal(list, await Cache.GetOrFillAsync<List<(int, string)>>("list", _ => throw new InvalidOperationException()).Within());
    }

    [Fact]
    public async Task Fields_that_the_options_leave_out_are_refused_and_not_lost()
    {
        await using var cache = await GenfenceCache.ConnectAsync(
            "memory://", new GenfenceOptions { Json = new JsonSerializerOptions(JsonSerializerDefaults.Web) });
        await AssertRefused<(int, string)>(cache, "IncludeFields");
        await AssertRefused<(int, string)?>(cache, "IncludeFields");
        await AssertRefused<Point>(cache, "IncludeFields");
        var refused = Assert.Throws<GenfenceInvalidException>(() => GenfenceSerializer.Json(FieldContext.Default.Point));
        Assert.Equal("serializer", refused.Field);
        // Without data nothing is lost.
        await AssertComesBack(cache, new Empty());

        await using var with = await GenfenceCache.ConnectAsync(
            "memory://", new GenfenceOptions { Json = new JsonSerializerOptions { IncludeFields = true } });
        await AssertComesBack(with, (7, "seven"));
    }

    [Fact]
    public async Task Options_without_a_resolver_do_what_they_do_for_the_serializer_itself()
    {
        static JsonSerializerOptions Make() => new(JsonSerializerDefaults.Web) { Converters = { new JsonStringEnumConverter() } };
        await using var cache = await GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { Json = Make() });
        var day = new KeyValuePair<string, DayOfWeek>("k", DayOfWeek.Monday);
        await AssertComesBack(cache, day);
        Assert.Equal(JsonSerializer.Serialize(day, Make()), Support.Text(await cache.GetAsync("k").Within()));

        var own = GenfenceSerializer.Json<User>(Make());
        await cache.SetAsync("own", new User("Ada", 36), serializer: own).Within();
        Assert.Equal("""{"name":"Ada","age":36}""", Support.Text(await cache.GetAsync("own").Within()));
        Assert.Equal((true, new User("Ada", 36)), await cache.TryGetAsync("own", own).Within());
    }

    [Fact]
    public async Task What_could_be_written_and_not_read_is_refused_before_the_source_is_read()
    {
        await AssertRefused<IShape>("IGenfenceSerializer");
        await AssertRefused<Shape>("[JsonDerivedType]");
        await AssertRefused<Nameless>("[JsonDerivedType]");
        await AssertRefused<object>("[JsonDerivedType]");
        await AssertRefused<ReadOnlyCollection<int>>(nameof(ReadOnlyCollection<>));
        await AssertRefused<IGrouping<int, int>>(nameof(IGrouping<,>));
        await AssertRefused<Locked>(nameof(Locked));
        Assert.Equal(0, Cache.Stats.Misses);
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => Cache.UpdateAsync<IShape>("k", (_, _) => throw new InvalidOperationException("ran")).Within());
        Assert.Equal("serializer", refused.Field);
        await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => Cache.GetOrFillManyAsync<IShape>(["k"], (_, _) => throw new InvalidOperationException("ran")).Within());
        await Assert.ThrowsAsync<GenfenceInvalidException>(() => Cache.SetAsync<IShape>("k", new Circle(1)).Within());
        await Assert.ThrowsAsync<GenfenceInvalidException>(() => Cache.TryGetAsync<IShape>("k").Within());
    }

    [Fact]
    public async Task Interfaces_and_abstract_types_that_can_be_read_are_taken()
    {
        await AssertComesBack<Animal>(new Dog("Rex", 3));
        await AssertComesBack<IConverted>(new Converted("c"));
        await AssertComesBack<IEnumerable<int>>([1, 2]);
        await AssertComesBack<IReadOnlyList<int>>([1, 2]);
        await AssertComesBack<IReadOnlyCollection<User>>([new User("Ada", 36)]);
        await AssertComesBack<ISet<int>>(new HashSet<int> { 1, 2 });
        await AssertComesBack<IDictionary<string, int>>(new Dictionary<string, int> { ["a"] = 1 });
        await AssertComesBack<IReadOnlyDictionary<string, int>>(new Dictionary<string, int> { ["a"] = 1 });
        await AssertComesBack<IImmutableList<int>>(ImmutableList.Create(1, 2));
    }

    [Fact]
    public async Task Types_that_take_their_data_in_the_constructor_are_taken()
    {
        await AssertComesBack(new User("Ada", 36));
        await AssertComesBack(new Strict("s"));
        await AssertComesBack(new Demanding { Name = "d" });
        await AssertComesBack(Tuple.Create(1, "one"));
        await AssertComesBack(ImmutableArray.Create(1, 2).ToArray());
        await AssertComesBack(Guid.NewGuid());
        await AssertComesBack(DateTimeOffset.UnixEpoch);
        await AssertComesBack<int?>(7);
        await AssertComesBack(Array.Empty<User>());
    }

    private Task AssertComesBack<T>(T value) => AssertComesBack(Cache, value);

    private static async Task AssertComesBack<T>(GenfenceCache cache, T value)
    {
        await cache.InvalidateAsync("k").Within();
        Assert.Equal(value, await cache.GetOrFillAsync("k", _ => ValueTask.FromResult(value)).Within());
        Assert.Equal(value, await cache.GetOrFillAsync<T>("k", _ => throw new InvalidOperationException("not cached")).Within());
    }

    private Task AssertRefused<T>(string says) => AssertRefused<T>(Cache, says);

    private static async Task AssertRefused<T>(GenfenceCache cache, string says)
    {
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(
            () => cache.GetOrFillAsync<T>("k", _ => throw new InvalidOperationException("ran")).Within());
        Assert.Equal("serializer", refused.Field);
        Assert.Contains(typeof(T).ToString(), refused.Message, StringComparison.Ordinal);
        Assert.Contains(says, refused.Message, StringComparison.Ordinal);
    }

#pragma warning disable CA1051 // Fields are what this is about.
    internal struct Point
    {
        public int X, Y;
    }

    private sealed record Mixed
    {
        public string? Field;

        public string? Property { get; set; }
    }
#pragma warning restore CA1051

    [JsonSerializable(typeof(Point))]
    private sealed partial class FieldContext : JsonSerializerContext;

    private sealed record Empty;

    private interface IShape
    {
        double Radius { get; }
    }

    private abstract record Shape(double Radius) : IShape;

    private sealed record Circle(double Radius) : Shape(Radius);

    [JsonDerivedType(typeof(Named))]
    private abstract record Nameless;

    private sealed record Named(string Name) : Nameless;

    private sealed class Locked
    {
        private Locked() { }

        public string? Name { get; set; }
    }

    [JsonDerivedType(typeof(Dog), "dog")]
    private abstract record Animal(string Name);

    private sealed record Dog(string Name, int Age) : Animal(Name);

    [JsonConverter(typeof(Converter))]
    private interface IConverted;

    private sealed record Converted(string Text) : IConverted;

    private sealed class Converter : JsonConverter<IConverted>
    {
        public override IConverted Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            new Converted(reader.GetString()!);

        public override void Write(Utf8JsonWriter writer, IConverted value, JsonSerializerOptions options) =>
            writer.WriteStringValue(((Converted)value).Text);
    }

    private sealed record Strict
    {
        public Strict(string text)
        {
            ArgumentException.ThrowIfNullOrEmpty(text);
            Text = text;
        }

        public string Text { get; }
    }

    private sealed record Demanding
    {
        public required string Name { get; init; }
    }
}
