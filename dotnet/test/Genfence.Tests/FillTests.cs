using System.Buffers;
using System.Text.Json.Serialization;

namespace Genfence.Tests;

public sealed record User(string Name, int Age);

[JsonSerializable(typeof(User))]
internal sealed partial class UserContext : JsonSerializerContext;

public class FillTests : CacheTest
{
    private int _loads;

    [Fact]
    public async Task A_thousand_callers_on_a_missing_key_load_once()
    {
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var callers = Enumerable.Range(0, 1000).Select(_ => Cache.GetOrFillAsync("k", async _ =>
        {
            Interlocked.Increment(ref _loads);
            await open.Task;
            return "value";
        }).AsTask()).ToArray();
        while (Volatile.Read(ref _loads) == 0)
        {
            await Task.Yield();
        }
        open.SetResult();
        Assert.All(await Task.WhenAll(callers).WaitAsync(Support.Patience), value => Assert.Equal("value", value));
        Assert.Equal(1, _loads);
    }

    [Fact]
    public async Task Values_of_every_door_come_back()
    {
        var ada = new User("Ada", 36);
        Assert.Equal(ada, await Cache.GetOrFillAsync("reflection", _ => ValueTask.FromResult(ada)).Within());
        Assert.Equal(ada, await Cache.GetOrFillAsync<User>("reflection", _ => throw new InvalidOperationException()).Within());

        var generated = GenfenceSerializer.Json(UserContext.Default.User);
        await Cache.GetOrFillAsync("generated", ada, static (user, _) => ValueTask.FromResult(user), generated).Within();
        Assert.Equal(ada, await Cache.GetOrFillAsync("generated", _ => throw new InvalidOperationException(), generated).Within());

        var fresh = await Cache.GetOrFillAsync(
            "fresh", _ => ValueTask.FromResult(new Fresh<User>(ada, 3, TimeSpan.FromMinutes(1)))).Within();
        Assert.Equal(ada, fresh);
        Assert.Equal(3, (await Cache.GetAsync("fresh").Within())!.Value.Version);

        Assert.Equal(7, await Cache.GetOrFillAsync("number", _ => ValueTask.FromResult(7)).Within());
        Assert.Equal(7, await Cache.GetOrFillAsync<int>("number", _ => throw new InvalidOperationException()).Within());
    }

    [Fact]
    public async Task Nothing_is_remembered()
    {
        for (var i = 0; i < 2; i++)
        {
            Assert.Null(await Cache.GetOrFillAsync("k", _ =>
            {
                _loads++;
                return ValueTask.FromResult<User?>(null);
            }).Within());
        }
        Assert.Equal(1, _loads);
    }

    [Fact]
    public async Task A_factory_that_fails_lets_another_fill()
    {
        await Assert.ThrowsAsync<TimeoutException>(
            () => Cache.GetOrFillAsync<string>("k", _ => throw new TimeoutException()).Within());
        Assert.Equal("x", await Cache.GetOrFillAsync("k", _ => ValueTask.FromResult("x")).Within());
        Assert.Equal("x", Support.Text(await Cache.GetAsync("k").Within()));
    }

    [Fact]
    public async Task Bytes_of_another_program_are_loaded_anew()
    {
        await Cache.SetAsync("k", "no JSON").Within();
        Assert.Equal(7, await Cache.GetOrFillAsync("k", _ => ValueTask.FromResult(7)).Within());
        Assert.Equal("7", Support.Text(await Cache.GetAsync("k").Within()));
        await Cache.SetAsync("m", "no JSON").Within();
        var many = await Cache.GetOrFillManyAsync(["m"], Double).Within();
        Assert.Equal(1, many["m"]);
    }

    [Fact]
    public async Task A_serializer_that_cannot_read_its_own_bytes_does_not_loop()
    {
        var broken = new Broken();
        Assert.Equal("x", await Cache.GetOrFillAsync("k", _ => ValueTask.FromResult("x"), broken).Within());
        var looped = 0;
        Assert.Equal("x", await Cache.GetOrFillAsync("k", _ =>
        {
            looped++;
            return ValueTask.FromResult("x");
        }, broken).Within());
        Assert.Equal(1, looped);
    }

    [Fact]
    public async Task Many_keys_are_loaded_with_one_call()
    {
        await Cache.SetAsync("a", 1).Within();
        var many = await Cache.GetOrFillManyAsync(["a", "bb", "ccc", "bb", "none"], Double).Within();
        Assert.Equal(1, _loads);
        Assert.Equal([("a", 1), ("bb", 2), ("ccc", 3), ("none", 0)], many.Select(pair => (pair.Key, pair.Value)).OrderBy(pair => pair.Key));
        many = await Cache.GetOrFillManyAsync(["a", "bb", "ccc"], Double).Within();
        Assert.Equal(1, _loads);
        Assert.Empty(await Cache.GetOrFillManyAsync([], Double).Within());
    }

    [Fact]
    public async Task Two_that_ask_for_crossing_keys_do_not_wait_for_each_other()
    {
        using var held = (await Cache.LookupAsync("a").Within()).Lease!;
        var many = Cache.GetOrFillManyAsync(["a", "bb"], Double).AsTask();
        // What is not held is filled while the other is waited for.
        while (await Cache.GetAsync("bb").Within() is null)
        {
            await Task.Yield();
        }
        Assert.False(many.IsCompleted);
        await held.FillAsync(Support.Bytes("10")).Within();
        var values = await many.WaitAsync(Support.Patience);
        Assert.Equal((10, 2), (values["a"], values["bb"]));
    }

    [Fact]
    public async Task A_factory_that_answers_for_other_keys_is_refused()
    {
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => Cache.GetOrFillManyAsync<int>(
            ["a"], (_, _) => ValueTask.FromResult<IReadOnlyDictionary<string, int>>(new Dictionary<string, int> { ["b"] = 1 })).Within());
        Assert.Equal("factory", refused.Field);
        Assert.Equal(1, await Cache.GetOrFillAsync("a", _ => ValueTask.FromResult(1)).Within());
    }

    private ValueTask<IReadOnlyDictionary<string, int>> Double(IReadOnlyList<string> keys, CancellationToken cancellation)
    {
        Interlocked.Increment(ref _loads);
        var lengths = keys.Where(key => key != "none").ToDictionary(key => key, key => key.Length);
        return ValueTask.FromResult<IReadOnlyDictionary<string, int>>(lengths);
    }

    private sealed class Broken : IGenfenceSerializer<string>
    {
        public void Serialize(string value, IBufferWriter<byte> target) => target.Write("?"u8);

        public string Deserialize(ReadOnlySpan<byte> bytes) => throw new FormatException("on purpose");
    }
}
